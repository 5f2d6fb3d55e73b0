"""The Lightning CLI in a run directory, for any module and data: loggers, checkpoints, resuming, several processes."""

from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback, EarlyStopping, LearningRateFinder
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.plugins import CheckpointIO
from pytorch_lightning.profilers import PassThroughProfiler, Profiler
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vitrail.errors import UsageError, VitrailError, first_line, without_types
from vitrail.models.architecture import import_from_current_folder
from vitrail.tasks.training_task import MonitoredMetric
from vitrail.training.checkpoints import BEST, LAST, WholeFiles, checkpoints
from vitrail.training.exact_resume import ExactResume
from vitrail.training.full_disk import one_line_if_full
from vitrail.training.length import AUTO, Trainer, described, images_a_step, resolved
from vitrail.training.process import prepare_process
from vitrail.training.progress import progress, total_steps
from vitrail.training.rank_failures import Together, first_alone
from vitrail.training.ranks import SharedBuffers, is_first, print_once, processes
from vitrail.training.recipes import FLAGS, pairs, values_of
from vitrail.training.report import REPORT, write_report
from vitrail.training.resume import (
    LENGTHS,
    RESUME,
    Progress,
    RunIsDone,
    SaveSettings,
    changes,
    differences,
    from_weights,
    progress_of,
    with_numbers_of,
)
from vitrail.training.runs import environment, lock, loggers, new_run, run_of_checkpoint, write_json

FULL_HELP = "--help=all"  # plain --help is a short page
# Faults that have no exception class of their own, in Lightning and in torch.
NO_INTERVAL = "`val_check_interval`"
NO_METRIC, NO_SUCH_WEIGHTS = "conditioned on metric", "Error(s) in loading state_dict"


class RunCommandLine(LightningCLI):
    """Trains, validates and tests in a run directory; the module and the data are those of a class that extends it."""

    name: ClassVar[str] = "fit"  # of the command that trains
    monitor: MonitoredMetric | None  # by which the best checkpoint is chosen; none: by what validation logs

    def __init__(self, verb: str, argv: Sequence[str], model: Any, data: Any, **options: Any) -> None:
        self.verb, self.argv = verb, list(argv)
        self.done: Progress | None = None  # of the run that this one goes on with
        self.checkpoint: str | None = None  # of the run in --run
        self.together: Together | None = None  # in several processes
        strict = {"exit_on_error": False, "allow_abbrev": False}
        super().__init__(
            model,
            data,
            save_config_callback=SaveSettings if verb == "fit" else None,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_class=Trainer,
            seed_everything_default=0,
            trainer_defaults={"enable_model_summary": False, "enable_progress_bar": False, "num_sanity_val_steps": 0},
            parser_kwargs={**strict, verb: strict},
            args=[verb, *("--help" if one == FULL_HELP else one for one in argv)],
            **options,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """The one that runs: Lightning would also make the parsers of all others."""
        return {self.verb: LightningCLI.subcommands()[self.verb]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--run", type=str | None, default=None, help="the run directory (default: runs/NAME)")
        parser.add_argument(
            RESUME,
            action="store_true",
            help="go on with the run in --run from its newest checkpoint, or begin it if there is none",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Refuse missing or ineffective options before anything is built."""
        try:
            super().parse_arguments(parser, args)
        except ValueError as fault:  # of --print_config: a default that is no plain value
            raise UsageError(f"--print_config writes plain values, give one here: {reason_of(fault)}") from fault
        self.refuse_ineffective()
        options = self.config[self.verb]
        self.complete(options)
        self.resumes, options["resume"] = bool(options["resume"]) and self.verb == "fit", False
        name_defaults(options["trainer"]["callbacks"])
        if options["ckpt_path"] is not None:
            self.read_checkpoint(options["ckpt_path"])
            if self.verb == "fit":
                self.compare(options)
            if self.resumes:  # config.yaml stays that of the run, which another can be made with
                self.checkpoint, options["ckpt_path"] = options["ckpt_path"], None
        elif self.verb != "fit":
            raise UsageError(f"vitrail {self.verb} needs --ckpt_path, the checkpoint to evaluate")

    def complete(self, options: Any) -> None:
        """Change parsed options before anything reads them."""

    def read_checkpoint(self, path: str) -> None:
        """What a command line needs of a checkpoint beside the state of its run."""

    def refuse_ineffective(self) -> None:
        """Refuse options of Lightning's trainer that have no effect here."""
        trainer = self.config[self.verb]["trainer"]
        if self.verb != "fit" and named(self.argv, "--trainer.logger"):
            raise UsageError(f"vitrail {self.verb} prints its results and logs nothing: leave --trainer.logger out")
        if self.verb == "fit" and trainer["enable_checkpointing"] is False:
            raise UsageError("a run always writes best.ckpt and last.ckpt: leave --trainer.enable_checkpointing out")

    def compare(self, options: Any) -> None:
        """A resumed run keeps its settings; changed ones are listed, or refused."""
        done = progress_of(options["ckpt_path"])
        parser = self._parser("fit")
        try:
            before = parser.dump(parser.parse_string(done.settings), skip_unset=False)
        except ArgumentError as fault:
            raise UsageError(
                f"the settings in {done.path} are of another vitrail ({without_types(fault)}): install the "
                f"one that wrote them, or start a new run from the weights, {from_weights(done.path)}"
            ) from fault
        if self.resumes:
            with_numbers_of(before, options["trainer"])
        explicit = [name for name in LENGTHS if named(self.argv, f"--{name}")]
        differing = differences(before, parser.dump(options, skip_unset=False))
        self.applied = changes(done.path, differing, explicit)
        try:
            done.refuse_if_done(options["trainer"], RunIsDone if self.resumes else UsageError)
        except RunIsDone:
            complete(Path(options["run"]))
            raise
        self.done = done
        self.resumed = f"from step {done.step} of {done.path}"

    @property
    def best(self) -> Path:
        return self.run_directory / "checkpoints" / BEST

    @property
    def last(self) -> Path:
        return self.run_directory / "checkpoints" / LAST

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except ValueError as fault:  # jsonargparse's, around the error of a constructor
            raise UsageError(f"the configuration cannot be built: {reason_of(fault)}") from fault

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        options = self.config_init[self.verb]
        with trainer_errors():
            self.world = processes(options["trainer"])
        self.resolve_length()
        self.run_directory = self.find_run(options)
        trains, settings = self.verb == "fit", options["trainer"]
        kwargs |= self.trainer_options(options)
        shown = [] if settings["enable_progress_bar"] else progress()
        kwargs["callbacks"] = [*kwargs["callbacks"], *shown, *(self.stored() if trains else [])]
        here = (self.done.step, self.done.rows) if self.done and self.resumes else (0, 0)
        kwargs["logger"] = loggers(self.run_directory, settings["logger"], *here) if trains else False
        kwargs["plugins"] = with_whole_files(settings["plugins"])
        kwargs["val_check_interval"] = validation_interval(settings)
        with trainer_errors():
            trainer = super().instantiate_trainer(enable_checkpointing=trains, **kwargs)
        if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
            raise UsageError(f"--trainer.strategy {settings['strategy']} loses its processes' results: choose ddp")
        report_into(self.run_directory, trainer.profiler)  # type: ignore[attr-defined]
        if self.world > 1:
            self.together = Together(trainer)
            trainer.callbacks[:0] = [self.together, SharedBuffers()]  # type: ignore[attr-defined]
        return trainer

    def resolve_length(self) -> None:
        """Replace `auto` by numbers, which config.yaml and checkpoints then hold."""

    def set_lengths(self, images: int, batch_size: int, is_pretrained: bool) -> None:
        options = self.config_init[self.verb]["trainer"]
        numbers = resolved(options, images, batch_size, self.world, is_pretrained)
        if options["max_steps"] == AUTO and self.verb == "fit":
            print_once(described(numbers["max_steps"], images, images_a_step(options, images, batch_size, self.world)))
        for config in (self.config, self.config_init):
            for name, number in numbers.items():
                config[self.verb]["trainer"][name] = number

    def trainer_options(self, options: Any) -> dict[str, Any]:
        """Callbacks, and what else the trainer gets; a resumed run searches no learning rate."""
        callbacks = options["trainer"]["callbacks"]
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or [])
        if self.done is not None:
            given = [one for one in given if not isinstance(one, LearningRateFinder)]
        return {"callbacks": given}

    def stored(self) -> list[Callback]:
        """The checkpoints of the run, and what goes into them."""
        return [ExactResume(), *checkpoints(self.run_directory / "checkpoints", self.command_to_go_on, self.monitor)]

    @property
    def command_to_go_on(self) -> str:
        return f"vitrail {self.name} --run {self.run_directory} {RESUME}"

    def _run_subcommand(self, subcommand: str) -> None:
        trains = self.verb == "fit"
        with (
            nullcontext() if self.together is None else self.together.ending(),
            one_line_if_full(self.run_directory, self.command_to_go_on) if trains else nullcontext(),
        ):
            super()._run_subcommand(subcommand)

    def find_run(self, options: Any) -> Path:
        """The run directory: `--run`, a new one named after the recipe, or that of the checkpoint."""
        if options["run"] is not None and (self.verb == "fit" or named(self.argv, "--run")):
            path = Path(options["run"])
            self.refuse_taken(path)
            return path
        if self.verb != "fit":
            return run_of_checkpoint(options["ckpt_path"])
        recipes = [Path(value).stem for value in values_of(self.argv, *FLAGS)]
        if options["ckpt_path"] is not None:
            recipes.append(run_of_checkpoint(options["ckpt_path"]).name)
        return new_run(recipes[-1] if recipes else "run")

    def refuse_taken(self, run: Path) -> None:
        if self.verb == "fit" and is_first() and not self.resumes and (run / "config.yaml").exists():
            raise UsageError(f"{run} already holds a run: choose another --run, or go on with it by {RESUME}")

    def before_fit(self) -> None:
        if self.done is not None:
            print_once(f"resumed {self.resumed}" + (f" with {', '.join(self.applied)}" if self.applied else ""))
        if is_first() and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            lock(self.run_directory)
            self.refuse_taken(self.run_directory)  # by a process that was at work until now
            write_json(self.run_directory / "environment.json", environment())
            self.log_settings()

    def log_settings(self) -> None:
        """In loggers of the user's choice, which tell runs apart by them; MLflow refuses changed ones later."""
        if self.done is None and not isinstance(self.config["fit"]["trainer"]["logger"], bool | None):
            settings = self.plain_settings()
            for logger in self.trainer.loggers[1:]:
                logger.log_hyperparams(settings)

    def plain_settings(self) -> Any:
        return yaml.safe_load(self._parser("fit").dump(self.config["fit"], skip_unset=False))

    def fit(self, **kwargs: Any) -> None:
        self.trainer.fit(**self.fit_options(kwargs))

    def fit_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """A checkpoint is data, and runs no code."""
        return {**options, "weights_only": True, "ckpt_path": self.checkpoint or options.get("ckpt_path")}

    def after_fit(self) -> None:
        trainer = self.trainer
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            print_once("fast_dev_run: nothing was saved")
            return
        self.run_directory = trainer.strategy.broadcast(self.run_directory)
        self.save_last()
        for reason in early_stops(trainer):
            print_once(f"stopped at step {trainer.global_step} of {total_steps(trainer)}: {reason}")
        if self.best.is_file():
            print_once(f"best checkpoint: {self.best}")
        else:
            print_once(f"last checkpoint: {self.last} (there was no validation, so there is no best checkpoint)")
        if is_first():
            print(f"report: {write_report(self.run_directory)}")
        if (command := self.next_command(self.best if self.best.is_file() else self.last)) is not None:
            print_once(f"next: {command}")

    def save_last(self) -> None:
        self.trainer.save_checkpoint(self.last)

    def next_command(self, checkpoint: Path) -> str | None:
        return f"vitrail test --ckpt_path {checkpoint}"

    def validate(self, **kwargs: Any) -> None:
        """Plain lines instead of Lightning's table."""
        self.trainer.validate(**{**kwargs, "verbose": False})
        self.print_metrics()

    def print_metrics(self) -> None:
        for name, value in sorted(self.trainer.callback_metrics.items()):
            print_once(f"{name} {float(value):.4f}")


def complete(run: Path) -> None:
    """Of a run that was ended after its last step, the report that comes next."""
    if is_first() and not (run / REPORT).is_file():
        print(f"report: {write_report(run)}")


def named(argv: Sequence[str], option: str) -> bool:
    """Whether the command line sets this option, or a part of it."""
    return any(flag.rstrip("+") == option or flag.startswith(f"{option}.") for flag, _ in pairs(argv))


def report_into(run: Path, profiler: Profiler) -> None:
    """A report that names no file is written into the run directory, in place of Lightning's log."""
    if not isinstance(profiler, PassThroughProfiler):
        profiler.dirpath, profiler.filename = profiler.dirpath or run, profiler.filename or "profile"


def with_whole_files(plugins: Any) -> list[Any]:
    """The given plugins, and atomic checkpoints where none of them writes checkpoints in its own way."""
    given = list(plugins) if isinstance(plugins, list | tuple) else [plugins] if plugins else []
    return given if any(isinstance(one, CheckpointIO) for one in given) else [*given, WholeFiles()]


def name_defaults(callbacks: Any) -> None:
    """Replace devices and enumerations among the defaults of callbacks by text, which a configuration file can hold."""
    for callback in callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []:
        arguments = callback.get("init_args") or {}
        for name, value in list(vars(arguments).items()) if arguments else []:
            if isinstance(value, torch.device):
                arguments[name] = str(value)
            elif isinstance(value, Enum):
                arguments[name] = value.value


def reason_of(fault: BaseException) -> str:
    """The first line of the exception that started the chain, or of the first of ours in it."""
    while fault.__cause__ is not None and not isinstance(fault, VitrailError):
        fault = fault.__cause__
    return first_line(fault)


def early_stops(trainer: pl.Trainer) -> list[str]:
    """Why callbacks ended a run before its last step."""
    stopping = [one for one in trainer.callbacks if isinstance(one, EarlyStopping)]  # type: ignore[attr-defined]
    messages = [one.stopping_reason_message for one in stopping if trainer.should_stop and one.stopping_reason_message]
    return [message.removesuffix(" Signaling Trainer to stop.") for message in messages]


def validation_interval(options: Any) -> int | float | None:
    """A run shorter than the interval is validated at its end."""
    interval: int | float | None = options["val_check_interval"]
    if isinstance(interval, int) and options["max_steps"] > 0:
        return min(interval, int(options["max_steps"]))
    return interval


@contextmanager
def trainer_errors() -> Iterator[None]:
    """What Lightning refuses, in one line."""
    try:
        yield
    except (MisconfigurationException, ValueError) as fault:
        raise UsageError(f"the trainer cannot be made: {str(fault).splitlines()[0]}") from fault


@contextmanager
def one_line_errors(verb: str) -> Iterator[None]:
    """What can go wrong in Lightning and in its parser, as errors of this command."""
    prepare_process()
    import_from_current_folder()
    with first_alone():
        try:
            yield
        except ArgumentError as fault:
            raise UsageError.of_parser(fault, f"vitrail {verb}") from fault
        except (MisconfigurationException, ModuleNotFoundError) as fault:  # of a callback or a logger
            raise UsageError(f"vitrail {verb} cannot run: {reason_of(fault)}") from fault
        except UnpicklingError as fault:
            raise UsageError(
                f"vitrail {verb} cannot run: the checkpoint holds objects whose loading would run code, such as a "
                "class among saved hyperparameters: keep those plain"
            ) from fault
        except ValueError as fault:
            if NO_INTERVAL not in str(fault):
                raise
            raise UsageError(f"vitrail {verb} cannot run: {first_line(str(fault)).split('. ')[0]}") from fault
        except RuntimeError as fault:
            if NO_METRIC in str(fault):
                raise UsageError(f"vitrail {verb} cannot run: {reason_of(fault)}") from fault
            if NO_SUCH_WEIGHTS in str(fault):
                first = str(fault).splitlines()[1].strip()
                raise UsageError(f"the checkpoint is of another model than the one that is given: {first}") from fault
            raise
