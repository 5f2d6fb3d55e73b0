"""The LightningModule of pretraining: a ViT predicts the masked patches of images, which need no labels."""

from typing import Literal

import numpy as np
import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor

from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.images.canvas import Resize
from vitrail.models import CNN, Architecture
from vitrail.models.masked_patches import MaskedPatches, count_masked, patch_of, without_patches
from vitrail.models.weight_decay import parameter_groups
from vitrail.training.batches import MASKING, Batch
from vitrail.training.module import ImageModule
from vitrail.training.muon import Group, muon_groups
from vitrail.training.schedule import WarmupCosine


class MaskedModule(ImageModule):
    """Masked patches: the network, without a head, predicts the pixels of patches that it does not see.

    Args:
        net: the architecture of the network: vitrail.models.ViT.
        optimizer: norms, biases, positions, tokens and queries are not decayed.
        schedule: of the learning rate.
        mask_ratio: share of the patches of each image that are masked, others in each epoch.
        image_size: side of the canvas in pixels; linked to the data.
        resize: how images become canvases; linked to the data.
        patch: linked to the data; images at their own shapes are not pretrained on.
        statistics: whose mean and standard deviation normalise pixels: the network's, which are those of its pretrained
            weights, else 0.5; or those of the training images.
    """

    def __init__(
        self,
        net: Architecture,
        image_size: int,
        resize: Resize = "squash",
        patch: int | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        schedule: WarmupCosine | None = None,
        mask_ratio: float = 0.75,
        statistics: Literal["network", "images"] = "network",
    ) -> None:
        if isinstance(net, CNN):
            raise without_patches("a CNN")
        if patch is not None:
            raise UsageError("patches are masked on squares: choose another --data.resize than native")
        super().__init__(net, 0, image_size, resize, optimizer=optimizer, schedule=schedule, statistics=statistics)
        side = patch_of(self.net, image_size)
        self.patches = (image_size // side) ** 2
        self.count = count_masked(mask_ratio, self.patches)
        self.masking = MaskedPatches(self.net.embed_dim, side)

    def loss(self, image: Tensor, draws: Draws) -> Tensor:
        """Of canvases uint8 [B, 3, size, size] under the masks that these random numbers choose."""
        masked = random_masks(draws, self.patches, self.count).to(image.device)
        return self.masking.loss(self.net, self.input.normalised(image), masked)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        image, _, indices = batch
        loss = self.loss(image, self.data.draws(indices, MASKING))
        self.log("train_loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Under the same masks each time."""
        image, _, indices = batch
        loss = self.loss(image, Draws.of(torch.initial_seed(), 0, indices).fork(MASKING))
        self.log("val_loss", loss, batch_size=len(image) * self.trainer.world_size, prog_bar=True, sync_dist=True)

    def groups(self) -> list[Group]:
        """Those of the network, and of what covers masked patches and predicts them."""
        grouped = muon_groups if self.is_muon else parameter_groups
        groups = [*super().groups(), *grouped(self.masking, self.decay)]
        return [group for group in groups if group["params"]]


def random_masks(draws: Draws, patches: int, count: int) -> Tensor:
    """For each image `count` of its patches, bool [B, patches]."""
    numbers = draws.uniform(patches)
    masked = np.zeros(numbers.shape, np.bool_)
    np.put_along_axis(masked, np.argsort(numbers, axis=1)[:, :count], True, axis=1)
    return torch.from_numpy(masked)
