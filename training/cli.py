"""The Lightning CLI: `vitrail fit | validate | test | predict`, with derived values linked and run directories."""

from argparse import ArgumentError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, LearningRateFinder, StochasticWeightAveraging
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.plugins import CheckpointIO
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vitrail.data.source import PARTS, Targets
from vitrail.errors import ModelError, UsageError, first_line
from vitrail.models.architecture import import_from_current_folder
from vitrail.models.checkpoint import Origin, load_checkpoint
from vitrail.tasks.training_task import MonitoredMetric, Report
from vitrail.training.checkpoints import BEST, LAST, WholeFiles, checkpoints
from vitrail.training.data_module import ImageDataModule
from vitrail.training.exact_resume import ExactResume
from vitrail.training.faster_steps import FasterSteps, can_be_fused, compilation
from vitrail.training.length import AUTO, Trainer, described, images_a_step, resolved
from vitrail.training.memory import fit_or_explain
from vitrail.training.module import ImageModule, made_by
from vitrail.training.precision import Precision, measure_training
from vitrail.training.predictions import save, write_table
from vitrail.training.process import prepare_process
from vitrail.training.progress import metrics_text, progress, total_steps
from vitrail.training.rank_failures import Together, first_alone
from vitrail.training.ranks import SharedBuffers, is_first, print_once, processes
from vitrail.training.recipes import FLAGS, pairs, values_of, with_recipes
from vitrail.training.report import report_test, write_report
from vitrail.training.resume import (
    LENGTHS,
    RESUME,
    Progress,
    RunIsDone,
    SaveSettings,
    changes,
    differences,
    going_on,
    progress_of,
    with_numbers_of,
)
from vitrail.training.runs import environment, lock, loggers, new_run, run_of_checkpoint, write_json
from vitrail.training.sharding import FSDP, FullySharded

EPOCHS = 1000  # Lightning's number where the run gives none
FULL_HELP = "--help=all"  # plain --help is a short page
NO_METRIC = "conditioned on metric"  # Lightning has no exception class for a missing metric


class CommandLine(LightningCLI):
    """Task, classes, size and resize rule come from the data; loggers and checkpoints go to the run directory."""

    done: Progress | None  # of the run that this one goes on with
    model: ImageModule
    datamodule: ImageDataModule
    model_type: ClassVar[type[ImageModule]] = ImageModule
    data_type: ClassVar[type[ImageDataModule]] = ImageDataModule
    name: ClassVar[str] = "fit"  # of the command that trains

    def __init__(self, verb: str, argv: Sequence[str]) -> None:
        self.verb, self.argv, self.done = verb, list(argv), None
        self.checkpoint: str | None = None  # of the run in --run
        self.together: Together | None = None  # in several processes
        strict = {"exit_on_error": False}
        super().__init__(
            self.model_type,
            self.data_type,
            save_config_callback=SaveSettings if verb == "fit" else None,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_class=Trainer,
            seed_everything_default=0,
            trainer_defaults={"enable_model_summary": False, "enable_progress_bar": False, "num_sanity_val_steps": 0},
            auto_configure_optimizers=False,
            parser_kwargs={**strict, verb: strict},
            args=[verb, *("--help" if one == FULL_HELP else one for one in argv)],
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
        parser.add_argument(
            "--precision",
            type=Literal["auto"] | None,
            default=None,
            help="auto: train in the precision and memory format of the fastest measured step, with a fused optimizer, "
            "and compiled where the run is long enough (default: trainer.precision)",
        )
        parser.link_arguments("data.size", "model.image_size")
        parser.link_arguments("data.resize", "model.resize")
        parser.link_arguments("data.patch", "model.patch")
        self.link_targets(parser)

    def link_targets(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("data.class_count", "model.classes", apply_on="instantiate")
        parser.link_arguments("data.task", "model.task", apply_on="instantiate")
        parser.link_arguments("data.width", "model.width", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Refuse missing or ineffective options before anything is built."""
        super().parse_arguments(parser, args)
        self.refuse_ineffective()
        options = self.config[self.verb]
        self.resumes, options["resume"] = bool(options["resume"]) and self.verb == "fit", False
        name_devices(options["trainer"]["callbacks"])
        if options["ckpt_path"] is not None:
            self.origin, _ = load_checkpoint(options["ckpt_path"])
            if self.verb == "fit":
                self.compare(options)
            if self.resumes:  # config.yaml stays that of the run, which another can be made with
                self.checkpoint, options["ckpt_path"] = options["ckpt_path"], None
        elif self.verb != "fit":
            raise UsageError(f"vitrail {self.verb} needs --ckpt_path, the checkpoint to evaluate")

    def refuse_ineffective(self) -> None:
        """Refuse options of Lightning's trainer that have no effect here."""
        trainer = self.config[self.verb]["trainer"]
        if self.verb != "fit" and named(self.argv, "--trainer.logger"):
            raise UsageError(f"vitrail {self.verb} prints its results and logs nothing: leave --trainer.logger out")
        if self.verb == "fit" and trainer["enable_checkpointing"] is False:
            raise UsageError("a run always writes best.ckpt and last.ckpt: leave --trainer.enable_checkpointing out")
        if trainer["use_distributed_sampler"] and named(self.argv, "--trainer.use_distributed_sampler"):
            raise UsageError(
                "vitrail divides the images among processes, so that none is counted twice: leave "
                "--trainer.use_distributed_sampler out"
            )

    def compare(self, options: Any) -> None:
        """A resumed run keeps its settings; changed ones are listed, or refused."""
        done = progress_of(options["ckpt_path"])
        parser = self._parser("fit")
        try:
            before = parser.dump(parser.parse_string(done.settings), skip_unset=False)
        except ArgumentError as fault:
            raise UsageError.of_parser(fault, f"the settings in {done.path}") from fault
        if self.resumes:
            with_numbers_of(before, options["trainer"])
        explicit = [name for name in LENGTHS if named(self.argv, f"--{name}")]
        differing = differences(before, parser.dump(options, skip_unset=False))
        self.applied = changes(done.path, differing, explicit)
        done.refuse_if_done(options["trainer"], RunIsDone if self.resumes else UsageError)
        self.done = done
        self.resumed = f"from step {done.step} of {done.path}"

    @property
    def best(self) -> Path:
        return self.run_directory / "checkpoints" / BEST

    @property
    def monitor(self) -> MonitoredMetric:
        return self.model.training_task.monitor

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
        shown = [] if settings["enable_progress_bar"] else progress()
        saved = self.stored() if trains else []
        given = self.given_callbacks(options)
        marks = [MarkAveraged(settings["max_epochs"])] if self.averages else []
        faster: list[Callback] = []
        if options["precision"] == "auto" and trains:
            kwargs["precision"], faster = self.faster_steps(settings)
        kwargs["callbacks"] = [*given, *marks, *faster, *shown, *saved]
        here = (self.done.step, self.done.rows) if self.done and self.resumes else (0, 0)
        kwargs["logger"] = loggers(self.run_directory, settings["logger"], *here) if trains else False
        kwargs["plugins"] = with_whole_files(settings["plugins"])
        kwargs["val_check_interval"] = validation_interval(settings)
        if settings["strategy"] == FSDP:
            self.refuse_unsharded()
            kwargs["strategy"] = FullySharded()
        with trainer_errors():
            trainer = super().instantiate_trainer(enable_checkpointing=trains, use_distributed_sampler=False, **kwargs)
        if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
            raise UsageError(f"--trainer.strategy {settings['strategy']} loses its processes' results: choose ddp")
        if self.world > 1:
            self.together = Together(trainer)
            trainer.callbacks[:0] = [self.together, SharedBuffers()]  # type: ignore[attr-defined]
        return trainer

    def stored(self) -> list[Callback]:
        """The checkpoints of the run, and what goes into them."""
        metric, command = self.monitor, f"vitrail {self.name} --run {self.run_directory} {RESUME}"
        return [ExactResume(), *checkpoints(self.run_directory / "checkpoints", command, metric.name, metric.mode)]

    def _run_subcommand(self, subcommand: str) -> None:
        with nullcontext() if self.together is None else self.together.ending():
            super()._run_subcommand(subcommand)

    def refuse_unsharded(self) -> None:
        """What needs whole weights in each process."""
        if self.model.lora is not None:
            raise UsageError("--trainer.strategy fsdp divides all weights, and LoRA trains few: choose ddp")
        if self.averages:
            raise UsageError("StochasticWeightAveraging needs whole weights in each process: choose ddp, not fsdp")

    def resolve_length(self) -> None:
        """Replace `auto` by the numbers for these images, which config.yaml and checkpoints then hold."""
        options, images = self.config_init[self.verb]["trainer"], self.datamodule.count("train")
        numbers = resolved(
            options, images, self.datamodule.batch_size, self.world, bool(self.model.architecture.pretrained)
        )
        if options["max_steps"] == AUTO and self.verb == "fit":
            together = images_a_step(options, images, self.datamodule.batch_size, self.world)
            print_once(described(numbers["max_steps"], images, together))
        for config in (self.config, self.config_init):
            for name, number in numbers.items():
                config[self.verb]["trainer"][name] = number

    def faster_steps(self, settings: Any) -> tuple[Precision, list[Callback]]:
        """Measured on a step of this network."""
        model, data = self.model, self.datamodule
        device = "cuda" if torch.cuda.is_available() and settings["accelerator"] != "cpu" else "cpu"
        if self.done and self.done.faster and self.done.faster["device"] == device:
            faster = FasterSteps.from_plain(self.done.faster)
            print_once(f"precision {faster.execution}, as the run began with")
            return faster.execution.precision, [faster]
        batch = min(data.batch_size, data.count("train"))
        measured = measure_training(model.net, model.input, batch, device)
        compiling = compilation(model.net, model.input, measured, batch, self.steps_left(settings), device)
        optimizer = made_by(model.optimizer)
        fused = f"{type(optimizer).__name__} {'fused' if can_be_fused(optimizer) else 'not fused'}"
        print_once(f"precision {measured}; {fused}; {compiling}")
        return measured.best.precision, [FasterSteps(measured.best, device, compiling.pays)]

    def steps_left(self, settings: Any) -> int:
        """Batches to come, of which several may make a step of the optimizer."""
        together, steps, epochs = (settings[name] for name in ("accumulate_grad_batches", "max_steps", "max_epochs"))
        of_epoch = max(1, self.datamodule.count("train") // (self.datamodule.batch_size * self.world))
        batches = together * steps if steps > 0 else of_epoch * (epochs if epochs and epochs > 0 else EPOCHS)
        return int(batches - together * (self.done.step if self.done else 0))

    def given_callbacks(self, options: Any) -> list[Callback]:
        """Those of the configuration; a resumed run searches no learning rate, and weight averaging needs epochs."""
        given = list(options["trainer"]["callbacks"] or [])
        if self.done is not None:
            given = [one for one in given if not isinstance(one, LearningRateFinder)]
        self.averages = any(isinstance(one, StochasticWeightAveraging) for one in given) and self.verb == "fit"
        if self.averages and options["trainer"]["max_epochs"] in (None, -1):
            steps = options["trainer"]["max_steps"]
            batches = max(1, self.datamodule.count("train") // (self.datamodule.batch_size * self.world))
            raise UsageError(
                "StochasticWeightAveraging counts epochs: give --trainer.max_epochs, not --trainer.max_steps alone"
                + (f" ({steps} steps are {-(-steps // batches)} epochs)" if steps > 0 else "")
            )
        return given

    def find_run(self, options: Any) -> Path:
        """The run directory: `--run`, a new one named after the recipe, or that of the checkpoint."""
        if options["run"] is not None and (self.verb == "fit" or named(self.argv, "--run")):
            path = Path(options["run"])
            if self.verb == "fit" and is_first() and not self.resumes and (path / "config.yaml").exists():
                raise UsageError(f"{path} already holds a run: choose another --run, or go on with it by {RESUME}")
            return path
        if self.verb != "fit":
            return run_of_checkpoint(options["ckpt_path"])
        recipes = [Path(value).stem for value in values_of(self.argv, *FLAGS)]
        if options["ckpt_path"] is not None:
            recipes.append(run_of_checkpoint(options["ckpt_path"]).name)
        return new_run(recipes[-1] if recipes else "run")

    def before_fit(self) -> None:
        """Decode every image first, so that damaged ones are reported before a run directory exists."""
        data = self.datamodule
        self.model.architecture.check_plain()
        print_once(
            f"{self.run_directory}: {data.count('train')} training images, {data.count('val')} validation images"
        )
        if self.done is not None:
            data.refuse_contradiction(self.origin.run_data, PARTS)
            print_once(f"resumed {self.resumed}" + (f" with {', '.join(self.applied)}" if self.applied else ""))
        elif self.model.lora is not None:
            self.model.lora.refuse_untrained(self.model.architecture)
        self.model.record_images(data)
        if self.model.teacher is not None and self.done is not None:
            self.model.teacher.refuse_another(self.origin)
        data.prepare()
        if is_first() and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            lock(self.run_directory)
            write_json(self.run_directory / "environment.json", environment())

    def fit(self, **kwargs: Any) -> None:
        device = "cuda" if self.trainer.strategy.root_device.type == "cuda" else "cpu"
        options = {**kwargs, "weights_only": True}  # a checkpoint is data, and runs no code
        options["ckpt_path"] = self.checkpoint or kwargs.get("ckpt_path")
        fit_or_explain(lambda: self.trainer.fit(**options), self.model, self.datamodule, device)

    def after_fit(self) -> None:
        trainer = self.trainer
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            print_once("fast_dev_run: nothing was saved")
            return
        self.run_directory = trainer.strategy.broadcast(self.run_directory)
        last = self.best.with_name(LAST)
        self.model.averaged = self.averages
        trainer.save_checkpoint(last)
        if self.averages:
            trainer.validate(self.model, self.datamodule, verbose=False)
            print_once(f"averaged weights: {last}  {metrics_text(trainer)}")
        for reason in early_stops(trainer):
            print_once(f"stopped at step {trainer.global_step} of {total_steps(trainer)}: {reason}")
        if self.best.is_file():
            print_once(f"best checkpoint: {self.best}")
        else:
            print_once(f"last checkpoint: {last} (there was no validation, so there is no best checkpoint)")
        if is_first():
            print(f"report: {write_report(self.run_directory)}")
        print_once(f"next: {self.next_command(self.best if self.best.is_file() else last)}")

    def next_command(self, checkpoint: Path) -> str:
        return f"vitrail test --ckpt_path {checkpoint}"

    def validate(self, **kwargs: Any) -> None:
        """Two plain lines instead of Lightning's table."""
        self.trainer.validate(**{**kwargs, "verbose": False})
        for name, value in sorted(self.trainer.callback_metrics.items()):
            print_once(f"{name} {float(value):.4f}")

    def after_test(self) -> None:
        report = self.save_predictions()
        print_once(report.table())
        if is_first():
            print(f"\nreport: {report_test(self.run_directory, self.model, self.datamodule, report)}")

    def save_predictions(self) -> Report:
        """The report of the test just run; the predictions for all images go to predictions.npz."""
        images = self.datamodule.targets("test")
        predictions, task = self.all_predictions(images), self.model.training_task
        if is_first():
            save(self.run_directory, predictions, self.datamodule)
        return task.report(predictions, images, self.datamodule.classes)

    def predict(self, **kwargs: Any) -> None:
        self.trainer.predict(**{**kwargs, "return_predictions": False})
        data = self.datamodule
        images = data.targets("test")
        predictions = self.all_predictions(images)
        if is_first():
            print(write_table(self.run_directory, predictions, images, data.classes, self.model.training_task))

    def all_predictions(self, images: Targets) -> torch.Tensor:
        predictions = torch.cat(self.model.predictions)
        if len(predictions) != len(images):
            raise UsageError(
                f"there are predictions for only {len(predictions)} of {len(images)} test images: leave out "
                f"--trainer.fast_dev_run and --trainer.limit_{self.verb}_batches"
            )
        return predictions


def named(argv: Sequence[str], option: str) -> bool:
    """Whether the command line sets this option, or a part of it."""
    return any(flag.rstrip("+") == option or flag.startswith(f"{option}.") for flag, _ in pairs(argv))


def with_whole_files(plugins: Any) -> list[Any]:
    """The given plugins, and atomic checkpoints where none of them writes checkpoints in its own way."""
    given = list(plugins) if isinstance(plugins, list | tuple) else [plugins] if plugins else []
    return given if any(isinstance(one, CheckpointIO) for one in given) else [*given, WholeFiles()]


def name_devices(callbacks: Any) -> None:
    """Replace devices among the defaults of callbacks by text, which a configuration file can hold."""
    for callback in callbacks if isinstance(callbacks, list) else []:
        arguments = callback.get("init_args") or {}
        for name, value in list(vars(arguments).items()) if arguments else []:
            if isinstance(value, torch.device):
                arguments[name] = str(value)


def reason_of(fault: BaseException) -> str:
    """The first line of the exception that started the chain."""
    while fault.__cause__ is not None:
        fault = fault.__cause__
    return first_line(fault)


def early_stops(trainer: pl.Trainer) -> list[str]:
    """Why callbacks ended a run before its last step."""
    stopping = [one for one in trainer.callbacks if isinstance(one, EarlyStopping)]  # type: ignore[attr-defined]
    messages = [one.stopping_reason_message for one in stopping if trainer.should_stop and one.stopping_reason_message]
    return [message.removesuffix(" Signaling Trainer to stop.") for message in messages]


@contextmanager
def trainer_errors() -> Iterator[None]:
    """What Lightning refuses, in one line."""
    try:
        yield
    except (MisconfigurationException, ValueError) as fault:
        raise UsageError(f"the trainer cannot be made: {str(fault).splitlines()[0]}") from fault


class MarkAveraged(Callback):
    """Marks checkpoints as averaged once Lightning has replaced the weights by their averages."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.averaged = trainer.current_epoch >= self.epochs  # type: ignore[assignment]


def validation_interval(options: Any) -> int | float | None:
    """A run shorter than the interval is validated at its end."""
    interval: int | float | None = options["val_check_interval"]
    if isinstance(interval, int) and options["max_steps"] > 0:
        return min(interval, int(options["max_steps"]))
    return interval


def with_config_of_run(verb: str, argv: Sequence[str]) -> list[str]:
    """Add the configuration of the checkpoint's run, without its run directory."""
    paths = values_of(argv, "--ckpt_path")
    if values_of(argv, *FLAGS) or (verb == "fit" and not paths):
        return list(argv)
    if not paths:
        raise UsageError(f"vitrail {verb} needs --ckpt_path, the checkpoint to evaluate")
    if not Path(paths[-1]).is_file():
        raise ModelError(f"there is no checkpoint at {paths[-1]}")
    config = run_of_checkpoint(paths[-1]) / "config.yaml"
    if not config.is_file():
        return list(argv)
    return ["--config", str(config), *(["--run=null"] if verb == "fit" else []), *argv]


def origins(argv: Sequence[str]) -> dict[str, Origin]:
    """Of the checkpoint to continue or to evaluate, by its path."""
    return {path: load_checkpoint(path)[0] for path in values_of(argv, "--ckpt_path") if Path(path).is_file()}


def run(verb: str, argv: Sequence[str]) -> CommandLine:
    """Run one verb of the Lightning CLI."""
    with one_line_errors(verb):
        argv = going_on(argv) if verb == "fit" else argv
        for path, origin in origins(argv).items():
            origin.refuse_without_classes(path)
        return CommandLine(verb, with_recipes(with_config_of_run(verb, argv)))


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
        except RuntimeError as fault:
            if NO_METRIC not in str(fault):
                raise
            raise UsageError(f"vitrail {verb} cannot run: {reason_of(fault)}") from fault
