"""Training the head of a pretrained network first, and then the whole of it."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import nn

from vitrail.errors import UsageError
from vitrail.models.heads import heads_of


class FreezeThenThaw(Callback):
    """Everything but the head is frozen at first: without gradients, and as in evaluation, BatchNorm too.

    The optimizer has all parameters from the beginning, and passes over those without gradients. Its groups, and so its
    state in a checkpoint, are the same before and after.

    Args:
        share: of all steps, during which the head alone is trained; with 1 nothing else ever is.
    """

    def __init__(self, share: float) -> None:
        if not 0 < share <= 1:
            raise UsageError(f"the share of steps that train the head alone is above 0 and at most 1, not {share}")
        self.share = share
        self.steps: int | None = None
        self.parameters: list[nn.Parameter] = []
        self.modules: list[nn.Module] = []

    @property
    def state_key(self) -> str:
        return self._generate_state_key(share=self.share)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A run that is resumed to become longer does not freeze again what has thawed."""
        self.steps = state_dict["steps"]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.world_size > 1:
            raise UsageError(
                "FreezeThenThaw changes which gradients there are, and several processes agree on them beforehand: "
                "give --trainer.devices 1, or leave it out"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After the optimizer was made, which leaves out what needs no gradients, and after a checkpoint was read."""
        if self.steps is None:
            self.steps = round(self.share * trainer.estimated_stepping_batches)
        if trainer.global_step < self.steps:
            self.freeze(pl_module.net)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, index: int) -> None:
        if self.steps is not None and trainer.global_step >= self.steps:
            self.thaw()
        for module in self.modules:
            module.training = False

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.thaw()

    def freeze(self, network: Any) -> None:
        """Note and freeze what is trained now, so that what others have frozen stays so."""
        heads = nn.ModuleList(heads_of(network))
        trained, inside = {id(one) for one in heads.parameters()}, {id(one) for one in heads.modules()}
        self.parameters = [one for one in network.parameters() if one.requires_grad and id(one) not in trained]
        self.modules = [one for one in network.modules() if one.training and id(one) not in inside]
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def thaw(self) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        for module in self.modules:
            module.training = True
        self.parameters, self.modules = [], []
