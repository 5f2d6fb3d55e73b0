"""Compares the forms of one part of the ViT: short fits from scratch, all else equal, several seeds."""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime as ort
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from vitrail.bench.core.rounds import time_calls
from vitrail.bench.core.tables import markdown_table
from vitrail.data.check.readers import prepare_worker
from vitrail.data.subsets import nested_subset
from vitrail.errors import UsageError
from vitrail.exporting.attention_maps import attention_weights, attentions, captured
from vitrail.exporting.graph import Graph, to_onnx
from vitrail.images.canvas import InputRule
from vitrail.models import ViT
from vitrail.models.network import count_parameters
from vitrail.plots.maps import draw_maps
from vitrail.runtime.providers import session_options
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule
from vitrail.training.process import prepare_process
from vitrail.training.runs import bare_trainer
from vitrail.training.schedule import WarmupCosine

VARIED = ("attention", "positions", "pool", "head", "block", "norm")
WARM_UP = 0.1  # of the steps
WEIGHT_DECAY = 0.05
ONNX_BATCH = 16
ONNX_SECONDS = 0.5
MAP_IMAGES = 250

Maps = list[list[list[list[float]]]]  # [layers][heads][rows][columns]


@dataclass(frozen=True)
class Plan:
    """The settings of all fits, and the part that differs."""

    path: str
    size: int
    patch: int
    images: int | None  # labelled training images; None means all
    steps: int
    batch: int
    rate: float
    vary: str  # an argument of ViT
    forms: tuple[str, ...]  # its values, as in YAML
    seeds: tuple[int, ...] = (0, 1, 2)
    width: int = 64
    depth: int = 4
    heads: int = 4

    def architecture(self, form: str) -> ViT:
        parts: dict[str, Any] = {self.vary: parse_form(form)}
        return ViT(patch=self.patch, width=self.width, depth=self.depth, heads=self.heads, **parts)

    def check(self) -> None:
        """Refuse a form that cannot be built, before any fit."""
        if self.vary not in VARIED:
            raise UsageError(f"'{self.vary}' is no part of the ViT; there is {', '.join(VARIED)}")
        for form in self.forms:
            self.architecture(form).build(2, self.size)


@dataclass(frozen=True)
class Fit:
    """One fit and its results."""

    form: str
    seed: int
    accuracy: float  # of the test part
    train_loss: float  # mean of the last tenth of all steps
    seconds: float
    images_per_second: float  # while training
    onnx_images_per_second: float
    parameters: int
    maps: Maps | None  # of the first seed: attention of the middle patch, mean over test images


def run(plan: Plan, workers: int, progress: Callable[[Fit], None] = lambda fit: None) -> list[Fit]:
    """All fits, each on one thread; seeds of a form are spread out, so that background load affects all alike."""
    jobs = [(form, seed) for seed in plan.seeds for form in plan.forms]
    fits: list[Fit] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=prepare_worker) as pool:
        for done in as_completed([pool.submit(fit_one, plan, form, seed) for form, seed in jobs]):
            fits.append(done.result())
            progress(fits[-1])
    return sorted(fits, key=lambda fit: (plan.forms.index(fit.form), fit.seed))


class StepLog(Callback):
    """The loss of each step, the number of images and the seconds of all steps."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.images, self.seconds = 0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begin = perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(outputs["loss"]))
        self.images += len(batch[1])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seconds = perf_counter() - self.begin


def fit_one(plan: Plan, form: str, seed: int) -> Fit:
    """A ViT from scratch, trained as `vitrail fit` does: AdamW, warm-up and half a cosine; no augmentation."""
    prepare_process()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    data = ImageDataModule(plan.path, plan.size, batch_size=plan.batch)
    if plan.images is not None:
        data.chosen["train"] = nested_subset(data.source.labels("train"), plan.images, 0)
    optimizer = partial(torch.optim.AdamW, lr=plan.rate, weight_decay=WEIGHT_DECAY)
    schedule = WarmupCosine(WARM_UP)
    module = ImageModule(plan.architecture(form), data.class_count, plan.size, optimizer=optimizer, schedule=schedule)
    log = StepLog()
    trainer = bare_trainer([log], accelerator="cpu", max_steps=plan.steps, limit_val_batches=0, gradient_clip_val=1.0)
    trainer.fit(module, datamodule=data)
    trainer.test(module, datamodule=data, verbose=False)
    test, predicted = data.part("test"), torch.cat(module.predictions).argmax(dim=1).numpy()
    network = module.net.eval()
    return Fit(
        form=form,
        seed=seed,
        accuracy=float(np.mean(predicted == test.labels)),
        train_loss=mean(log.losses[-max(1, plan.steps // 10) :]),
        seconds=log.seconds,
        images_per_second=log.images / log.seconds,
        onnx_images_per_second=onnx_speed(network, module.input.rule, test.images[:ONNX_BATCH]),
        parameters=count_parameters(network),
        maps=middle_maps(network, module.input, test.images[:MAP_IMAGES]) if seed == plan.seeds[0] else None,
    )


def parse_form(form: str) -> Any:
    """A name, or a name with settings: "window reach=3" → {"name": "window", "reach": 3}."""
    name, *settings = form.split()
    if not settings:
        return name
    try:
        return {"name": name} | {key: json.loads(value) for key, value in (each.split("=") for each in settings)}
    except ValueError as fault:
        raise UsageError(
            f"'{form}' is not a form: write a name, or a name with settings, such as 'window reach=3'"
        ) from fault


def onnx_speed(network: Any, rule: InputRule, images: Any) -> float:
    """Images a second of the exported graph, on one thread."""
    session = ort.InferenceSession(
        to_onnx(Graph(network, rule, 1.0).eval()), session_options(1), providers=["CPUExecutionProvider"]
    )
    return len(images) / time_calls(
        lambda: session.run(["probabilities"], {"image": images}), ONNX_SECONDS, perf_counter
    )


def middle_maps(network: Any, normalise: Any, images: Any) -> Maps | None:
    """Attention of the middle patch, mean over images."""
    modules = attentions(network)
    if not modules:
        return None
    rows, columns = network.patch_embed.grid_size
    middle = network.num_prefix_tokens + rows // 2 * columns + columns // 2
    with captured(modules) as inputs, torch.inference_mode():
        network.forward_features(normalise(torch.from_numpy(images)))
        weights = [attention_weights(module, x) for module, x in zip(modules, inputs, strict=True)]
    layers = [layer[:, :, middle].mean(0) for layer in weights]  # [heads, N] each
    maps = torch.stack(layers)[:, :, network.num_prefix_tokens :].reshape(len(layers), -1, rows, columns)
    return [[[[round(float(w), 5) for w in row] for row in head] for head in layer] for layer in maps]


def table(fits: list[Fit]) -> str:
    """Markdown: accuracy as mean ± deviation over seeds, speeds as means."""
    rows = [["", "accuracy", "training loss", "images/s, training", "images/s, ONNX", "parameters"]]
    for form in dict.fromkeys(fit.form for fit in fits):
        own = [fit for fit in fits if fit.form == form]
        accuracies = [fit.accuracy for fit in own]
        spread = f" ± {stdev(accuracies):.3f}" if len(accuracies) > 1 else ""
        rows.append(
            [
                form,
                f"{mean(accuracies):.3f}{spread}",
                f"{mean(fit.train_loss for fit in own):.3f}",
                f"{mean(fit.images_per_second for fit in own):,.0f}",
                f"{mean(fit.onnx_images_per_second for fit in own):,.0f}",
                f"{own[0].parameters:,}",
            ]
        )
    return markdown_table(rows)


def draw(fits: list[Fit], folder: Path) -> None:
    """One PNG a form: attention of the middle patch, a row of heads for each layer."""
    folder.mkdir(parents=True, exist_ok=True)
    for fit in fits:
        if fit.maps is not None:
            maps = np.array(fit.maps, np.float32)
            draw_maps(maps, (maps.shape[2] // 2, maps.shape[3] // 2)).save(folder / f"{fit.form.split()[0]}.png")


def to_json(plan: Plan, fits: list[Fit]) -> str:
    return json.dumps({"plan": asdict(plan), "fits": [asdict(fit) for fit in fits]}, indent=1)
