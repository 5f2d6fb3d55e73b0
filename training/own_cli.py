"""The command line for a LightningModule of the user's own: `--model CLASS`, on vitrail's data or `--data CLASS`."""

from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import LightningArgumentParser

from vitrail.errors import UsageError
from vitrail.models.checkpoint import NO_NETWORK
from vitrail.own_class import class_at
from vitrail.training.length import AUTO
from vitrail.training.network_of_run import place_of, why_none, write_network
from vitrail.training.pixel_data_module import PixelDataModule
from vitrail.training.ranks import is_first, print_once
from vitrail.training.recipes import FLAGS, pairs
from vitrail.training.run_cli import RunCommandLine

PREDICTIONS = "predictions.pt"
# What the data decide, by the names that a constructor may have for it; classes are known once the data are there.
BEFORE, AFTER = {"image_size": "size", "img_size": "size"}, {"num_classes": "class_count", "classes": "class_count"}
Base = TypeVar("Base")


class OwnCommandLine(RunCommandLine):
    """Lightning's own steps in a run directory; where the module maps pixels to logits, its network is written too."""

    monitor = None

    def __init__(self, verb: str, argv: Sequence[str], model: type[pl.LightningModule], data: type | None) -> None:
        self.model_type = model
        has_loaders = model.train_dataloader is not pl.LightningModule.train_dataloader
        self.has_images = data is None and not has_loaders
        super().__init__(
            verb,
            argv,
            model,
            PixelDataModule if self.has_images else data,
            subclass_mode_model=True,
            subclass_mode_data=not self.has_images,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        wanted = signature(self.model_type).parameters if self.has_images else ()
        for links, stage in ((BEFORE, "parse"), (AFTER, "instantiate")):
            for name in links.keys() & wanted:
                parser.link_arguments(f"data.{links[name]}", f"model.init_args.{name}", apply_on=stage)

    def _parse_ckpt_path(self) -> None:
        """Lightning would put a checkpoint's hyperparameters in place of the command line's."""

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """vitrail's data divide their images among processes themselves."""
        if self.has_images:
            kwargs["use_distributed_sampler"] = False
        return super().instantiate_trainer(**kwargs)

    def resolve_length(self) -> None:
        trainer = self.config_init[self.verb]["trainer"]
        if AUTO in (trainer["max_steps"], trainer["val_check_interval"]):
            if not self.has_images:
                raise UsageError("auto counts vitrail's images: give a number for max_steps and val_check_interval")
            data = self.datamodule
            self.set_lengths(data.count("train"), data.batch_size, is_pretrained=False)

    def stored(self) -> list[Callback]:
        return [*super().stored(), SayWhy(self)]

    def before_fit(self) -> None:
        if self.has_images:
            data = self.datamodule
            print_once(
                f"{self.run_directory}: {data.count('train')} training images, {data.count('val')} validation images"
            )
            data.prepare()
        self.reason = why_none(self.model, self.datamodule)
        super().before_fit()

    def next_command(self, checkpoint: Path) -> str | None:
        if self.reason is None and is_first():
            self.reason = write_network(
                self.run_directory, self.plain_settings(), self.model, self.datamodule, checkpoint
            )
        if self.reason is None:
            return super().next_command(place_of(self.run_directory))
        print_once(f"its network is not exported by vitrail: {self.reason}")
        has_test = self.model_type.test_step is not pl.LightningModule.test_step
        return super().next_command(checkpoint) if has_test else None

    def test(self, **kwargs: Any) -> None:
        """The module's own test; vitrail's is that of its network."""
        self.trainer.test(**{**kwargs, "verbose": False, "weights_only": True})
        self.print_metrics()

    def predict(self, **kwargs: Any) -> None:
        predictions = self.trainer.predict(**{**kwargs, "return_predictions": True, "weights_only": True})
        if is_first():
            path = self.run_directory / PREDICTIONS
            torch.save(predictions, path)
            print(path)


class SayWhy(Callback):
    """Checkpoints of a run whose network vitrail cannot read from them say why, or where it is."""

    def __init__(self, command: OwnCommandLine) -> None:
        self.command = command

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        place = place_of(self.command.run_directory)
        checkpoint[NO_NETWORK] = self.command.reason or f"the network of its run is written at its end, as {place}"


def own_class(argv: Sequence[str], part: str, base: type[Base]) -> type[Base] | None:
    """The class that the command line or a YAML file gives for `model` or `data`; the last one counts."""
    paths = list(class_paths(argv, part))
    if not paths:
        return None
    if "." not in paths[-1]:
        hint = ": images are given by --data.path" if part == "data" else ""
        raise UsageError(f"--{part} takes the import path of a {base.__name__}, not '{paths[-1]}'{hint}")
    return class_at(paths[-1], base, base.__name__, UsageError)


def class_paths(argv: Sequence[str], part: str) -> Iterator[str]:
    for flag, value in pairs(argv):
        if flag in FLAGS:
            given, folder = content(Path(value)).get(part), Path(value).parent
        elif flag in (f"--{part}", f"--{part}.class_path", f"--{part}.help"):
            given, folder = value, Path()
        else:
            continue
        if isinstance(given, str) and (folder / given).is_file():
            given = content(folder / given)
        path = given.get("class_path") if isinstance(given, dict) else given
        if isinstance(path, str):
            yield path


def content(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
