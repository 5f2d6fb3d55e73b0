"""`vitrail pretrain`: the command line of `vitrail fit` over images without labels and the module of masked patches."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pytorch_lightning.cli import LightningArgumentParser

from vitrail.data import Part, Source
from vitrail.data.unlabelled import open_unlabelled
from vitrail.errors import ModelError
from vitrail.own_class import Plain
from vitrail.tasks.training_task import MonitoredMetric
from vitrail.training.cli import CommandLine, origins, with_config_of_run, with_options_of_module
from vitrail.training.data_module import ImageDataModule
from vitrail.training.masked_module import MaskedModule
from vitrail.training.recipes import with_recipes
from vitrail.training.resume import from_weights, going_on
from vitrail.training.run_cli import one_line_errors


class UnlabelledDataModule(ImageDataModule):
    """The training and validation images of any set, or of a folder without classes; test images are not decoded."""

    decoded: ClassVar[tuple[Part, ...]] = ("train", "val")

    def open(self, path: str | Plain, seed: int) -> Source:
        return open_unlabelled(path, seed)


class Pretraining(CommandLine):
    """The best checkpoint is that of the lowest reconstruction error."""

    model_type = MaskedModule
    data_type = UnlabelledDataModule
    name = "pretrain"
    monitor = MonitoredMetric("val_loss", "min")

    def link_targets(self, parser: LightningArgumentParser) -> None:
        """There are none."""

    def next_command(self, checkpoint: Path) -> str:
        return f"vitrail fit --config YOURS --model.net.pretrained {checkpoint}"


def pretrain(argv: Sequence[str]) -> Pretraining:
    with one_line_errors("pretrain"):
        argv = going_on(argv)
        for path, origin in origins(argv).items():
            if origin.classes:
                raise ModelError(f"{path} was trained with labels: start from its weights, {from_weights(path)}")
        return Pretraining("fit", with_options_of_module(with_recipes(with_config_of_run("fit", argv))))
