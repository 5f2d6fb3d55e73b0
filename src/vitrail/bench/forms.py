"""Compares the forms of one part of the ViT: short fits from scratch, all else equal, several seeds."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrail.bench.core.rounds import time_calls
from vitrail.bench.core.tables import markdown_table
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.plots.maps import draw_maps

if TYPE_CHECKING:
    from vitrail.models import ViT

VARIED = ("attention", "positions", "pool", "head", "block", "norm")
WARM_UP = 0.1  # of the steps
WEIGHT_DECAY = 0.05
ONNX_BATCH = 16
ONNX_SECONDS = 0.5
TEST_BATCH = 250


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

    def architecture(self, form: str) -> "ViT":
        from vitrail.models import ViT

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
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(fit_one, plan, form, seed) for form, seed in jobs]):
            fits.append(done.result())
            progress(fits[-1])
    return sorted(fits, key=lambda fit: (plan.forms.index(fit.form), fit.seed))


def fit_one(plan: Plan, form: str, seed: int) -> Fit:
    """A ViT from scratch: AdamW, warm-up and half a cosine, no augmentation."""
    import torch
    import torch.nn.functional as F
    from torch.nn.utils import clip_grad_norm_

    from vitrail.data import open_source
    from vitrail.data.subsets import nested_subset
    from vitrail.models.heads import Cosine
    from vitrail.models.input import Input

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rule = InputRule(plan.size, "squash")
    source = open_source(plan.path, 0)
    train_labels = source.labels("train")
    chosen = None if plan.images is None else nested_subset(train_labels, plan.images, 0)
    train, test = source.read("train", rule, chosen), source.read("test", rule)
    network: Any = plan.architecture(form).build(len(source.classes), plan.size)
    normalise = Input(rule)
    optimizer = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=WEIGHT_DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.rate, plan.steps, pct_start=WARM_UP, cycle_momentum=False
    )
    images, labels = torch.from_numpy(train.images), torch.from_numpy(train.labels)
    head = network.get_classifier()
    losses = []
    begin = perf_counter()
    for batch in batches(len(images), plan.batch, plan.steps, seed):
        logits, target = network(normalise(images[batch])), labels[batch]
        if isinstance(head, Cosine):
            logits = head.with_margin(logits, target)
        loss = F.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        rates.step()
        losses.append(float(loss.detach()))
    seconds = perf_counter() - begin
    network.eval()
    return Fit(
        form=form,
        seed=seed,
        accuracy=accuracy(network, normalise, test.images, test.labels),
        train_loss=mean(losses[-max(1, plan.steps // 10) :]),
        seconds=seconds,
        images_per_second=plan.steps * plan.batch / seconds,
        onnx_images_per_second=onnx_speed(network, rule, test.images[:ONNX_BATCH]),
        parameters=sum(weights.numel() for weights in network.parameters()),
        maps=middle_maps(network, normalise, test.images[:TEST_BATCH]) if seed == plan.seeds[0] else None,
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


def batches(count: int, batch: int, steps: int, seed: int) -> Iterator[Any]:
    """Indices for each step, in a new order in each epoch."""
    import torch

    random = np.random.default_rng(seed)
    pending = np.empty(0, np.int64)
    for _ in range(steps):
        while len(pending) < batch:
            pending = np.concatenate([pending, random.permutation(count)])
        yield torch.from_numpy(pending[:batch])
        pending = pending[batch:]


def accuracy(network: Any, normalise: Any, images: Any, labels: Any) -> float:
    import torch

    hits = 0
    with torch.inference_mode():
        for begin in range(0, len(images), TEST_BATCH):
            part = slice(begin, begin + TEST_BATCH)
            hits += int((network(normalise(torch.from_numpy(images[part]))).argmax(1).numpy() == labels[part]).sum())
    return hits / len(labels)


def onnx_speed(network: Any, rule: InputRule, images: Any) -> float:
    """Images a second of the exported graph, on one thread."""
    import onnxruntime as ort

    from vitrail.exporting.graph import Graph, to_onnx
    from vitrail.runtime.providers import session_options

    session = ort.InferenceSession(
        to_onnx(Graph(network, rule, 1.0).eval()), session_options(1), providers=["CPUExecutionProvider"]
    )
    return len(images) / time_calls(
        lambda: session.run(["probabilities"], {"image": images}), ONNX_SECONDS, perf_counter
    )


def middle_maps(network: Any, normalise: Any, images: Any) -> Maps | None:
    import torch

    from vitrail.exporting.attention_maps import attention_weights, attentions, captured

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
