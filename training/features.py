"""Features of images: what a frozen network gives its head."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitrail.data.part_images import Progress, silent
from vitrail.data.source import Part
from vitrail.models.input import Input
from vitrail.training.data_module import ImageDataModule
from vitrail.training.precision import MEASURED, Execution, Measured, measure


@dataclass(frozen=True, eq=False)
class Features:
    """The head's inputs [N, D] for the images of one part, and their targets."""

    inputs: Tensor
    targets: Tensor


class FrozenNetwork:
    """A copy of a network whose head alone is trained, executed as is given, else as is fastest here."""

    def __init__(self, network: nn.Module, to_pixels: Input, device: str, execution: Execution | None = None) -> None:
        self.network: Any = deepcopy(network).float().eval().to(device)
        self.to_pixels = to_pixels.to(device)
        self.device = device
        self.execution = execution

    def features(
        self, data: ImageDataModule, part: Part, on_progress: Progress = silent, is_flipped: bool = False
    ) -> Features:
        inputs, targets = [], []
        for images, target, _ in data.in_order(part):
            inputs.append(self.of_batch(images.flip(-1) if is_flipped else images))
            targets.append(target)
            on_progress(sum(map(len, targets)), data.count(part))
        return Features(torch.cat(inputs), torch.cat(targets))

    def of_batch(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, size, size] → [B, D]; on a CPU a few images at a time, whose values stay in its caches."""
        images = images.to(self.device)
        if self.execution is None:
            few = images[:MEASURED]
            self.execution = Measured(measure(self.network, lambda: self.forward(few), self.device), len(few)).best
            self.execution.arrange(self.network)
        with self.execution.autocast(self.device):
            at_once = MEASURED if self.device == "cpu" else max(1, len(images))
            return torch.cat([self.forward(some).float().cpu() for some in images.split(at_once)])

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        pixels = self.to_pixels.normalised(images)
        features: Tensor = self.network.forward_head(self.network.forward_features(pixels), pre_logits=True)
        return features
