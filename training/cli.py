"""The Lightning CLI: `vitrail fit | validate | test | predict`, with derived values linked and runs kept in order."""

import logging
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vitrail.errors import UsageError
from vitrail.models.checkpoint import load_checkpoint
from vitrail.training.answers import keep, write_table
from vitrail.training.classification import Classification
from vitrail.training.picture_data import PictureData
from vitrail.training.progress import progress
from vitrail.training.recipes import FLAGS, values_of, with_recipes
from vitrail.training.runs import checkpoints, environment, loggers, new_run, run_of_checkpoint, write_json
from vitrail.training.tasks.goal import Report

# Lightning's advice that does not apply: canvases need no workers, short runs log seldom, the run directory is ours.
IRRELEVANT = (
    ".*LightningCLI's args parameter.*",
    ".*does not have many workers.*",
    ".*logging interval.*",
    ".*logs directory .* exists.*",
    ".*callbacks used to create the checkpoint.*",
    ".*treespec, LeafSpec.*",
)


class CommandLine(LightningCLI):
    """Task, classes, size and resize rule come from the data; loggers and checkpoints go to the run directory."""

    model: Classification
    datamodule: PictureData

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--run", type=str | None, default=None, help="the run directory (default: runs/NAME)")
        parser.link_arguments("data.class_count", "model.classes", apply_on="instantiate")
        parser.link_arguments("data.task", "model.task", apply_on="instantiate")
        parser.link_arguments("data.size", "model.image_size")
        parser.link_arguments("data.resize", "model.resize")

    @property
    def verb(self) -> str:
        return str(self.subcommand)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Names what the words lack before anything is built."""
        self.words = list(args)
        super().parse_arguments(parser, args)
        options = self.config[self.config["subcommand"]]
        if options["ckpt_path"] is not None:
            load_checkpoint(options["ckpt_path"])
        elif self.config["subcommand"] != "fit":
            raise UsageError(f"vitrail {self.config['subcommand']} needs --ckpt_path, the checkpoint to measure")

    @property
    def best(self) -> Path:
        return self.run_directory / "checkpoints" / "best.ckpt"

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        options = self.config_init[self.verb]
        self.run_directory = self.find_run(options)
        trains = self.verb == "fit"
        given = options["trainer"]["callbacks"] or []
        watched = self.model.goal.watched
        kept = checkpoints(self.run_directory, watched.figure, watched.mode) if trains else []
        kwargs["callbacks"] = [*given, progress(), *kept]
        kwargs["logger"] = loggers(self.run_directory) if trains else False
        kwargs["val_check_interval"] = validated_once(options["trainer"])
        try:
            return super().instantiate_trainer(enable_checkpointing=trains, **kwargs)
        except (MisconfigurationException, ValueError) as fault:
            raise UsageError(f"the trainer cannot be made: {str(fault).splitlines()[0]}") from fault

    def find_run(self, options: Any) -> Path:
        """The run directory: as asked, a new one named after the recipe, or the checkpoint's own."""
        if options["run"] is not None:
            path = Path(options["run"])
            if self.verb == "fit" and (path / "config.yaml").exists():
                raise UsageError(f"{path} holds a run already: choose another --run")
            return path
        if self.verb == "fit":
            named = values_of(self.words, *FLAGS)
            return new_run(Path(named[-1]).stem if named else "run")
        return run_of_checkpoint(options["ckpt_path"])

    def before_fit(self) -> None:
        """Decode every image first: those that do not decode are named before a run directory exists."""
        data = self.datamodule
        print(f"{self.run_directory}: {data.count('train')} pictures to learn from, {data.count('val')} to validate")
        self.model.record_images(data)
        data.prepare()
        write_json(self.run_directory / "environment.json", environment())

    def after_fit(self) -> None:
        self.trainer.save_checkpoint(self.best.with_name("last.ckpt"))
        print(f"best checkpoint: {self.best}\nnext: vitrail test --ckpt_path {self.best}")

    def validate(self, **kwargs: Any) -> None:
        """Two plain lines instead of Lightning's table."""
        self.trainer.validate(**{**kwargs, "verbose": False})
        for name, value in sorted(self.trainer.callback_metrics.items()):
            print(f"{name} {float(value):.4f}")

    def after_test(self) -> None:
        print(self.keep_answers().table())

    def keep_answers(self) -> Report:
        """What the test just run found; the answer to every picture goes to predictions.npz."""
        pictures = self.datamodule.part("test")
        answers, goal = torch.cat(self.model.answers), self.model.goal
        keep(self.run_directory, answers, pictures, goal.task.outputs[0])
        return goal.report(answers, pictures, self.datamodule.classes)

    def predict(self, **kwargs: Any) -> None:
        answers: Any = self.trainer.predict(**kwargs)
        data = self.datamodule
        print(write_table(self.run_directory, torch.cat(answers), data.part("test"), data.classes, self.model.goal))


def validated_once(options: Any) -> int | float | None:
    """How often to validate; a run that is shorter than that is validated at its end."""
    interval: int | float | None = options["val_check_interval"]
    if isinstance(interval, int) and options["max_steps"] > 0:
        return min(interval, int(options["max_steps"]))
    return interval


def with_config_of_run(verb: str, words: Sequence[str]) -> list[str]:
    """A checkpoint that lies in a run directory brings that run's configuration along."""
    paths = values_of(words, "--ckpt_path")
    if verb == "fit" or values_of(words, *FLAGS):
        return list(words)
    if not paths:
        raise UsageError(f"vitrail {verb} needs --ckpt_path, the checkpoint to measure")
    config = run_of_checkpoint(paths[-1]) / "config.yaml"
    return ["--config", str(config), *words] if config.is_file() else list(words)


def hush() -> None:
    """Lightning speaks only of what its reader can mend."""
    for room in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(room).setLevel(logging.WARNING)
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)


def run(verb: str, words: Sequence[str]) -> CommandLine:
    """Run one verb of the Lightning CLI to its end."""
    hush()
    strict = {"exit_on_error": False}
    try:
        return CommandLine(
            Classification,
            PictureData,
            save_config_callback=SaveConfigCallback if verb == "fit" else None,
            seed_everything_default=0,
            trainer_defaults={"enable_model_summary": False, "enable_progress_bar": False, "num_sanity_val_steps": 0},
            auto_configure_optimizers=False,
            parser_kwargs={**strict, verb: strict},
            args=[verb, *with_recipes(with_config_of_run(verb, words))],
        )
    except ArgumentError as fault:
        raise UsageError.of_parser(fault, f"vitrail {verb}") from fault
