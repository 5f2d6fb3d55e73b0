"""The Lightning CLI: `vitrail fit | validate | test | predict`, with derived values linked and runs kept in order."""

import logging
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, LearningRateFinder, StochasticWeightAveraging
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vitrail.data import Samples
from vitrail.data.source import PARTS
from vitrail.errors import ModelError, UsageError
from vitrail.models.architecture import import_from_current_folder
from vitrail.models.checkpoint import load_checkpoint
from vitrail.tasks.training_task import Report
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule
from vitrail.training.predictions import keep, write_table
from vitrail.training.progress import measured, progress
from vitrail.training.ranks import is_first, say
from vitrail.training.recipes import FLAGS, pairs, values_of, with_recipes
from vitrail.training.resume import LENGTHS, KeepSettings, changes, differences, progress_of
from vitrail.training.runs import checkpoints, environment, loggers, new_run, run_of_checkpoint, write_json

# Lightning's advice that does not apply: canvases need no workers, short runs log seldom, the run directory is ours.
IRRELEVANT = (
    ".*LightningCLI's args parameter.*",
    ".*does not have many workers.*",
    ".*logging interval.*",
    ".*logs directory .* exists.*",
    ".*callbacks used to create the checkpoint.*",
    ".*treespec, LeafSpec.*",
    ".*dirpath has changed.*",
    ".*SWA is currently only supported every epoch.*",
    ".*Grad strides do not match.*",
)
NO_METRIC = "conditioned on metric"  # Lightning has no class of its own for a metric that is not there


class CommandLine(LightningCLI):
    """Task, classes, size and resize rule come from the data; loggers and checkpoints go to the run directory."""

    model: ImageModule
    datamodule: ImageDataModule

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--run", type=str | None, default=None, help="the run directory (default: runs/NAME)")
        parser.link_arguments("data.class_count", "model.classes", apply_on="instantiate")
        parser.link_arguments("data.task", "model.task", apply_on="instantiate")
        parser.link_arguments("data.size", "model.image_size")
        parser.link_arguments("data.resize", "model.resize")

    @property
    def verb(self) -> str:
        return str(self.config["subcommand"])

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Names what the words lack, or ask for in vain, before anything is built."""
        self.words = list(args)
        super().parse_arguments(parser, args)
        self.refuse_unheard()
        options = self.config[self.verb]
        name_devices(options["trainer"]["callbacks"])
        if options["ckpt_path"] is not None:
            self.origin, _ = load_checkpoint(options["ckpt_path"])
            if self.verb == "fit":
                self.compare(options)
        elif self.verb != "fit":
            raise UsageError(f"vitrail {self.verb} needs --ckpt_path, the checkpoint to measure")

    def refuse_unheard(self) -> None:
        """Options of Lightning's trainer that could have no effect here."""
        trainer = self.config[self.verb]["trainer"]
        if self.verb != "fit" and named(self.words, "--trainer.logger"):
            raise UsageError(f"vitrail {self.verb} logs nothing, it prints: leave --trainer.logger out")
        if self.verb == "fit" and trainer["enable_checkpointing"] is False:
            raise UsageError("a run keeps best.ckpt and last.ckpt: leave --trainer.enable_checkpointing out")
        if trainer["use_distributed_sampler"] and named(self.words, "--trainer.use_distributed_sampler"):
            raise UsageError(
                "the images are divided among processes so that none is measured twice: leave "
                "--trainer.use_distributed_sampler out"
            )

    def compare(self, options: Any) -> None:
        """A run that is taken up again keeps its settings; others take effect and are named, or are refused."""
        done = progress_of(options["ckpt_path"])
        parser = self._parser("fit")
        try:
            before = parser.dump(parser.parse_string(done.settings), skip_unset=False)
        except ArgumentError as fault:
            raise UsageError.of_parser(fault, f"the settings in {done.path}") from fault
        explicit = [name for name in LENGTHS if named(self.words, f"--{name}")]
        found = differences(before, parser.dump(options, skip_unset=False))
        self.applied = changes(done.path, found, explicit)
        done.refuse_if_done(options["trainer"])
        self.taken_up = f"from step {done.step} of {done.path}"

    @property
    def best(self) -> Path:
        return self.run_directory / "checkpoints" / "best.ckpt"

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except ValueError as fault:  # jsonargparse's, around what the constructor of a class has raised
            raise UsageError(f"the configuration cannot be built: {reason_of(fault)}") from fault

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        options = self.config_init[self.verb]
        self.run_directory = self.find_run(options)
        trains, asked = self.verb == "fit", options["trainer"]
        watched = self.model.goal.watched
        shown = [] if asked["enable_progress_bar"] else progress()
        kept = checkpoints(self.run_directory, watched.figure, watched.mode) if trains else []
        given = self.given_callbacks(options)
        marks = [MarkAveraged(asked["max_epochs"])] if self.averages else []
        kwargs["callbacks"] = [*given, *marks, *shown, *kept]
        kwargs["logger"] = loggers(self.run_directory, asked["logger"]) if trains else False
        kwargs["val_check_interval"] = validated_once(asked)
        try:
            trainer = super().instantiate_trainer(enable_checkpointing=trains, use_distributed_sampler=False, **kwargs)
        except (MisconfigurationException, ValueError) as fault:
            raise UsageError(f"the trainer cannot be made: {str(fault).splitlines()[0]}") from fault
        if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
            raise UsageError(f"what processes of --trainer.strategy {asked['strategy']} find would be lost: choose ddp")
        return trainer

    def given_callbacks(self, options: Any) -> list[Callback]:
        """Those of the configuration; a learning rate is not searched for twice, and weights are averaged by epochs."""
        given = list(options["trainer"]["callbacks"] or [])
        if self.verb == "fit" and options["ckpt_path"] is not None:
            given = [one for one in given if not isinstance(one, LearningRateFinder)]
        self.averages = any(isinstance(one, StochasticWeightAveraging) for one in given) and self.verb == "fit"
        if self.averages and options["trainer"]["max_epochs"] in (None, -1):
            steps = options["trainer"]["max_steps"]
            batches = max(1, self.datamodule.count("train") // self.datamodule.batch_size)
            raise UsageError(
                "StochasticWeightAveraging counts epochs: give --trainer.max_epochs, not --trainer.max_steps alone"
                + (f" ({steps} steps are {-(-steps // batches)} epochs)" if steps > 0 else "")
            )
        return given

    def find_run(self, options: Any) -> Path:
        """The run directory: as asked, a new one named after the recipe, or where the checkpoint lies now."""
        if options["run"] is not None and (self.verb == "fit" or named(self.words, "--run")):
            path = Path(options["run"])
            if self.verb == "fit" and is_first() and (path / "config.yaml").exists():
                raise UsageError(f"{path} holds a run already: choose another --run")
            return path
        if self.verb != "fit":
            return run_of_checkpoint(options["ckpt_path"])
        recipes = [Path(value).stem for value in values_of(self.words, *FLAGS)]
        if options["ckpt_path"] is not None:
            recipes.append(run_of_checkpoint(options["ckpt_path"]).name)
        return new_run(recipes[-1] if recipes else "run")

    def before_fit(self) -> None:
        """Decode every image first: those that do not decode are named before a run directory exists."""
        data = self.datamodule
        self.model.architecture.check_plain()
        say(f"{self.run_directory}: {data.count('train')} images to learn from, {data.count('val')} to validate")
        if self.config["fit"]["ckpt_path"] is not None:
            data.refuse_contradiction(self.origin.learnt, PARTS)
            say(f"goes on {self.taken_up}" + (f" with {', '.join(self.applied)}" if self.applied else ""))
        self.model.record_images(data)
        data.prepare()
        if is_first() and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            write_json(self.run_directory / "environment.json", environment())

    def after_fit(self) -> None:
        trainer = self.trainer
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            say("a trial: nothing of it was kept")
            return
        self.run_directory = trainer.strategy.broadcast(self.run_directory)
        last = self.best.with_name("last.ckpt")
        self.model.averaged = self.averages
        trainer.save_checkpoint(last)
        if self.averages:
            trainer.validate(self.model, self.datamodule, verbose=False)
            say(f"averaged weights: {last}  {measured(trainer)}")
        if self.best.is_file():
            say(f"best checkpoint: {self.best}")
        else:
            say(f"last checkpoint: {last} (no validation was made, so none is the best)")
        say(f"next: vitrail test --ckpt_path {self.best if self.best.is_file() else last}")

    def validate(self, **kwargs: Any) -> None:
        """Two plain lines instead of Lightning's table."""
        self.trainer.validate(**{**kwargs, "verbose": False})
        for name, value in sorted(self.trainer.callback_metrics.items()):
            say(f"{name} {float(value):.4f}")

    def after_test(self) -> None:
        report = self.keep_answers()
        say(report.table())

    def keep_answers(self) -> Report:
        """What the test just run found; the answer to every image goes to predictions.npz."""
        images = self.datamodule.part("test")
        answers, goal = self.all_answers(images), self.model.goal
        if is_first():
            keep(self.run_directory, answers, images, goal.task.outputs[0])
        return goal.report(answers, images, self.datamodule.classes)

    def predict(self, **kwargs: Any) -> None:
        self.trainer.predict(**{**kwargs, "return_predictions": False})
        data = self.datamodule
        answers = self.all_answers(data.part("test"))
        if is_first():
            print(write_table(self.run_directory, answers, data.part("test"), data.classes, self.model.goal))

    def all_answers(self, images: Samples) -> torch.Tensor:
        answers = torch.cat(self.model.answers)
        if len(answers) != len(images):
            raise UsageError(
                f"only {len(answers)} of {len(images)} test images were answered: leave out --trainer.fast_dev_run "
                f"and --trainer.limit_{self.verb}_batches"
            )
        return answers


def named(words: Sequence[str], option: str) -> bool:
    """Whether the command line itself sets this option, or a part of it."""
    return any(flag.rstrip("+") == option or flag.startswith(f"{option}.") for flag, _ in pairs(words))


def name_devices(callbacks: Any) -> None:
    """Let devices that are defaults of a callback be text, which a configuration file can hold."""
    for callback in callbacks if isinstance(callbacks, list) else []:
        arguments = callback.get("init_args") or {}
        for name, value in list(vars(arguments).items()) if arguments else []:
            if isinstance(value, torch.device):
                arguments[name] = str(value)


def reason_of(fault: BaseException) -> str:
    """The first line of what went wrong at the bottom of a chain of exceptions."""
    while fault.__cause__ is not None:
        fault = fault.__cause__
    return (str(fault).splitlines() or [type(fault).__name__])[0]


class MarkAveraged(Callback):
    """Lets checkpoints say that their weights are averages, once Lightning has put these in the place of the others."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.averaged = trainer.current_epoch >= self.epochs  # type: ignore[assignment]


def validated_once(options: Any) -> int | float | None:
    """How often to validate; a run that is shorter than that is validated at its end."""
    interval: int | float | None = options["val_check_interval"]
    if isinstance(interval, int) and options["max_steps"] > 0:
        return min(interval, int(options["max_steps"]))
    return interval


def with_config_of_run(verb: str, words: Sequence[str]) -> list[str]:
    """A checkpoint that lies in a run directory brings that run's configuration along, all but where it was kept."""
    paths = values_of(words, "--ckpt_path")
    if values_of(words, *FLAGS) or (verb == "fit" and not paths):
        return list(words)
    if not paths:
        raise UsageError(f"vitrail {verb} needs --ckpt_path, the checkpoint to measure")
    if not Path(paths[-1]).is_file():
        raise ModelError(f"there is no checkpoint at {paths[-1]}")
    config = run_of_checkpoint(paths[-1]) / "config.yaml"
    if not config.is_file():
        return list(words)
    return ["--config", str(config), *(["--run=null"] if verb == "fit" else []), *words]


def hush() -> None:
    """Lightning speaks only of what its reader can mend."""
    for room in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(room).setLevel(logging.WARNING)
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)


def run(verb: str, words: Sequence[str]) -> CommandLine:
    """Run one verb of the Lightning CLI to its end."""
    hush()
    import_from_current_folder()
    strict = {"exit_on_error": False}
    try:
        return CommandLine(
            ImageModule,
            ImageDataModule,
            save_config_callback=KeepSettings if verb == "fit" else None,
            seed_everything_default=0,
            trainer_defaults={"enable_model_summary": False, "enable_progress_bar": False, "num_sanity_val_steps": 0},
            auto_configure_optimizers=False,
            parser_kwargs={**strict, verb: strict},
            args=[verb, *with_recipes(with_config_of_run(verb, words))],
        )
    except ArgumentError as fault:
        raise UsageError.of_parser(fault, f"vitrail {verb}") from fault
    except (MisconfigurationException, ModuleNotFoundError) as fault:  # what a callback or a logger cannot do
        raise UsageError(f"vitrail {verb} cannot be run so: {reason_of(fault)}") from fault
    except RuntimeError as fault:
        if NO_METRIC not in str(fault):
            raise
        raise UsageError(f"vitrail {verb} cannot be run so: {reason_of(fault)}") from fault
