"""The LightningModule: any network of pictures to logits, trained, validated and tested."""

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.cli import OptimizerCallable
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from timm.optim import param_groups_weight_decay
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy
from torchvision.transforms.v2 import MixUp

from vitrail.card import InputRule, Resize
from vitrail.errors import ModelError, UsageError
from vitrail.models import Architecture
from vitrail.models.checkpoint import KEY, Origin
from vitrail.models.cosine import Cosine
from vitrail.models.input import Input
from vitrail.models.named import pixel_statistics
from vitrail.training.batches import Batch
from vitrail.training.picture_data import PictureData
from vitrail.training.schedule import WarmupCosine


class Classification(pl.LightningModule):
    """Learns one label a picture.

    Args:
        net: the architecture, from vitrail.models; the network is made from it here.
        optimizer: made over the network's weights; norms, biases and positions are not decayed.
        schedule: the learning rate over the run.
        label_smoothing: share of the target that is spread over all classes.
        mixup: how strongly pairs of training pictures are blended, the α of Beta(α, α); 0 leaves them alone.
        classes: how many classes to tell apart; linked to the data.
        image_size: side of the canvas in pixels; linked to the data.
        resize: how pictures become canvases; linked to the data.
    """

    def __init__(
        self,
        net: Architecture,
        classes: int,
        image_size: int,
        resize: Resize = "squash",
        optimizer: OptimizerCallable = torch.optim.AdamW,
        schedule: WarmupCosine | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
    ) -> None:
        super().__init__()
        self.architecture = net
        self.net: Any = net.build(classes, image_size)
        self.optimizer = optimizer
        self.decay = decay_of(optimizer)
        self.schedule = schedule or WarmupCosine()
        self.label_smoothing = label_smoothing
        self.mix = MixUp(alpha=mixup, num_classes=classes) if mixup else None
        self.input = Input(InputRule(image_size, resize, *pixel_statistics(self.net)))
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")
        self.answers: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        """Canvases uint8 [B, size, size, 3] → logits [B, K]; what export puts into the graph."""
        logits: Tensor = self.net(self.input(image))
        return logits

    def training_step(self, batch: Batch, index: int) -> Tensor:
        pixels, target = self.input(batch[0]), batch[1]
        if self.mix is not None:
            pixels, target = self.mix(pixels, target)
        logits, head = self.net(pixels), self.net.get_classifier()
        if isinstance(head, Cosine):
            logits = head.with_margin(logits, target)
        loss = F.cross_entropy(logits, target, label_smoothing=self.label_smoothing)
        self.log("train_loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        image, label = batch
        logits = self(image)
        self.val_accuracy(logits, label)
        self.log("val_loss", F.cross_entropy(logits, label), batch_size=len(label), prog_bar=True)
        self.log("val_accuracy", self.val_accuracy, batch_size=len(label), prog_bar=True)

    def on_test_epoch_start(self) -> None:
        self.answers = []

    def test_step(self, batch: Batch, index: int) -> None:
        self.answers.append(self(batch[0]).softmax(dim=1).cpu())

    def predict_step(self, batch: Batch, index: int) -> Tensor:
        logits: Tensor = self(batch[0])
        return logits.softmax(dim=1).cpu()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(param_groups_weight_decay(self.net, weight_decay=self.decay))
        steps = int(self.trainer.estimated_stepping_batches)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.schedule.attach(optimizer, steps), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        data: PictureData = self.trainer.datamodule  # type: ignore[attr-defined]
        origin = Origin(self.architecture, self.input.rule, data.classes, data.learnt(), torch.initial_seed())
        checkpoint[KEY] = origin.to_plain()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of another network before torch complains about every key."""
        if KEY not in checkpoint:
            raise ModelError("this is not a checkpoint written by `vitrail fit`")
        there, here = Origin.from_plain(checkpoint[KEY]).architecture.untrained(), self.architecture.untrained()
        if there != here:
            raise ModelError(f"the checkpoint is of another model: it holds {there}, the configuration asks for {here}")


def decay_of(optimizer: OptimizerCallable) -> float:
    """The weight decay that this optimizer would apply, asked of one made over a single number."""
    try:
        probe = optimizer([torch.nn.Parameter(torch.zeros(1))])
    except ValueError as fault:
        raise UsageError(f"the optimizer cannot be made: {fault}") from fault
    decay: float = probe.param_groups[0].get("weight_decay", 0.0)
    return decay
