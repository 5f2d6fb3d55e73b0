"""vitrail's images for modules of the user's own."""

from dataclasses import replace

from torch import Tensor

from vitrail.models.input import Input
from vitrail.models.timm_models import pixel_statistics
from vitrail.training.batches import Batch, Pixels
from vitrail.training.data_module import ImageDataModule


class PixelDataModule(ImageDataModule):
    """As other modules take them: normalised pixels [B, 3, size, size] and targets."""

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> tuple[Pixels, Tensor]:  # type: ignore[override]
        images, targets, _ = super().on_after_batch_transfer(batch, dataloader_idx)
        return self.input.to(targets.device).normalised(images), targets

    @property
    def input(self) -> Input:
        """With the statistics in the module's pretrained_cfg, where it has timm's, else 0.5."""
        assert self.trainer is not None
        mean, std = pixel_statistics(self.trainer.lightning_module)
        return Input(replace(self.rule, mean=mean, std=std))
