"""The command line over images: `vitrail fit | validate | test | predict`, with derived values linked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, StochasticWeightAveraging
from pytorch_lightning.cli import LightningArgumentParser

from vitrail.data.source import PARTS, Targets
from vitrail.errors import ModelError, UsageError
from vitrail.models.checkpoint import Origin, load_checkpoint
from vitrail.own_class import path_of
from vitrail.tasks.training_task import MonitoredMetric, Report
from vitrail.training.data_module import ImageDataModule
from vitrail.training.faster_steps import FasterSteps, can_be_fused, compilation
from vitrail.training.memory import fit_or_explain
from vitrail.training.module import ImageModule, made_by
from vitrail.training.own_cli import OwnCommandLine, own_class
from vitrail.training.precision import Precision, measure_training
from vitrail.training.predictions import save, write_table
from vitrail.training.progress import metrics_text
from vitrail.training.ranks import is_first, print_once
from vitrail.training.recipes import FLAGS, flatten, pairs, values_of, with_recipes
from vitrail.training.report import report_test
from vitrail.training.resume import going_on
from vitrail.training.run_cli import RunCommandLine, named, one_line_errors
from vitrail.training.runs import run_of_checkpoint
from vitrail.training.sharding import FSDP, FullySharded

EPOCHS = 1000  # Lightning's number where the run gives none
ROUNDED = ("16-true", "bf16-true")
OF_MODULE = {"optimizer": "optimizer", "lr_scheduler": "schedule"}  # LightningCLI's options, and the module's


class CommandLine(RunCommandLine):
    """Task, classes, size and resize rule come from the data."""

    model: ImageModule
    datamodule: ImageDataModule
    model_type: ClassVar[type[ImageModule]] = ImageModule
    data_type: ClassVar[type[ImageDataModule]] = ImageDataModule

    def __init__(self, verb: str, argv: Sequence[str], model: type | None = None, data: type | None = None) -> None:
        """`model` and `data` are classes of the user's own, which extend those of vitrail."""
        self.of_model = "model" if model is None else "model.init_args"
        self.of_data = "data" if data is None else "data.init_args"
        super().__init__(
            verb,
            argv,
            model or self.model_type,
            data or self.data_type,
            subclass_mode_model=model is not None,
            subclass_mode_data=data is not None,
            auto_configure_optimizers=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_optimizer_args()
        parser.add_lr_scheduler_args()
        parser.add_argument(
            "--precision",
            type=Literal["auto"] | None,
            default=None,
            help="auto: train in the precision and memory format of the fastest measured step, with a fused optimizer, "
            "and compiled where the run is long enough (default: trainer.precision)",
        )
        for given, needed in (("size", "image_size"), ("resize", "resize"), ("patch", "patch")):
            parser.link_arguments(f"{self.of_data}.{given}", f"{self.of_model}.{needed}")
        self.link_targets(parser)

    def link_targets(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("data.class_count", f"{self.of_model}.classes", apply_on="instantiate")
        parser.link_arguments("data.width", f"{self.of_model}.width", apply_on="instantiate")
        parser.link_arguments("data.edges", f"{self.of_model}.edges", apply_on="instantiate")
        parser.link_arguments("data.task", f"{self.of_model}.task", apply_on="instantiate")

    def complete(self, options: Any) -> None:
        """The optimizer and the schedule of a recipe for LightningCLI, at its top, are those of the module."""
        for name, place in OF_MODULE.items():
            if options[name] is not None:
                options[f"{self.of_model}.{place}"], options[name] = options[name], None

    def read_checkpoint(self, path: str) -> None:
        self.origin, _ = load_checkpoint(path)

    def refuse_ineffective(self) -> None:
        super().refuse_ineffective()
        precision = self.config[self.verb]["trainer"]["precision"]
        if precision in ROUNDED:
            raise UsageError(
                f"trainer.precision {precision} keeps the weights themselves in 16 bits: choose "
                f"{precision.replace('true', 'mixed')}"
            )
        sampler = "--trainer.use_distributed_sampler"
        if self.config[self.verb]["trainer"]["use_distributed_sampler"] and named(self.argv, sampler):
            raise UsageError(
                f"vitrail divides the images among processes, so that none is counted twice: leave {sampler} out"
            )

    @property
    def monitor(self) -> MonitoredMetric:  # type: ignore[override]
        return self.model.training_task.monitor

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        return super().instantiate_trainer(use_distributed_sampler=False, **kwargs)

    def trainer_options(self, options: Any) -> dict[str, Any]:
        made, settings = super().trainer_options(options), options["trainer"]
        self.find_averaging(made["callbacks"], settings)
        if self.averages:
            made["callbacks"].append(MarkAveraged(settings["max_epochs"]))
        if options["precision"] == "auto" and self.verb == "fit":
            made["precision"], faster = self.faster_steps(settings)
            made["callbacks"] += faster
        if settings["strategy"] == FSDP:
            self.refuse_unsharded()
            made["strategy"] = FullySharded()
        return made

    def refuse_unsharded(self) -> None:
        """What needs whole weights in each process."""
        if self.model.lora is not None:
            raise UsageError("--trainer.strategy fsdp divides all weights, and LoRA trains few: choose ddp")
        if self.averages:
            raise UsageError("StochasticWeightAveraging needs whole weights in each process: choose ddp, not fsdp")

    def resolve_length(self) -> None:
        """For these images."""
        is_pretrained = bool(self.model.architecture.pretrained)
        self.set_lengths(self.datamodule.count("train"), self.datamodule.batch_size, is_pretrained)

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

    def find_averaging(self, given: list[Callback], settings: Any) -> None:
        """Weight averaging needs epochs."""
        self.averages = any(isinstance(one, StochasticWeightAveraging) for one in given) and self.verb == "fit"
        if self.averages and settings["max_epochs"] in (None, -1):
            steps = settings["max_steps"]
            batches = max(1, self.datamodule.count("train") // (self.datamodule.batch_size * self.world))
            raise UsageError(
                "StochasticWeightAveraging counts epochs: give --trainer.max_epochs, not --trainer.max_steps alone"
                + (f" ({steps} steps are {-(-steps // batches)} epochs)" if steps > 0 else "")
            )

    def before_fit(self) -> None:
        """Decode every image first, so that damaged ones are reported before a run directory exists."""
        data = self.datamodule
        self.model.architecture.check_plain()
        print_once(
            f"{self.run_directory}: {data.count('train')} training images, {data.count('val')} validation images"
        )
        if self.done is not None:
            data.refuse_contradiction(self.origin.run_data, PARTS)
        elif self.model.lora is not None:
            self.model.lora.refuse_untrained(self.model.architecture)
        self.model.record_images(data)
        if self.model.teacher is not None and self.done is not None:
            self.model.teacher.refuse_another(self.origin)
        data.prepare()
        super().before_fit()

    def fit(self, **kwargs: Any) -> None:
        device = "cuda" if self.trainer.strategy.root_device.type == "cuda" else "cpu"
        fit_or_explain(lambda: super(CommandLine, self).fit(**kwargs), self.model, self.datamodule, device)

    def save_last(self) -> None:
        self.model.averaged = self.averages
        super().save_last()
        if self.averages:
            self.trainer.validate(self.model, self.datamodule, verbose=False)
            print_once(f"averaged weights: {self.last}  {metrics_text(self.trainer)}")

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


class MarkAveraged(Callback):
    """Marks checkpoints as averaged once Lightning has replaced the weights by their averages."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.averaged = trainer.current_epoch >= self.epochs  # type: ignore[assignment]


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


def with_options_of_module(argv: Sequence[str]) -> list[str]:
    """`--optimizer.lr` without a class is one of the module's optimizer, as `--lr_scheduler.…` of its schedule."""
    given = {flag for flag, _ in pairs(argv)}
    names = {f"--{name}": f"--model.{place}" for name, place in OF_MODULE.items() if f"--{name}" not in given}
    return flatten(
        (names[head] + flag.removeprefix(head) if (head := flag.partition(".")[0]) in names else flag, value)
        for flag, value in pairs(argv)
    )


def run(verb: str, argv: Sequence[str]) -> RunCommandLine:
    """Run one verb of the Lightning CLI."""
    with one_line_errors(verb):
        argv = with_recipes(with_config_of_run(verb, going_on(argv) if verb == "fit" else argv))
        model, data = own_class(argv, "model", pl.LightningModule), own_class(argv, "data", pl.LightningDataModule)
        if model is not None and not issubclass(model, ImageModule):
            return OwnCommandLine(verb, argv, model, data)
        if data is not None and not issubclass(data, ImageDataModule):
            raise UsageError(
                f"{path_of(data)} gives batches of its own, and vitrail's module trains on canvases, which model files "
                "take too: give --model CLASS, a LightningModule of yours, beside it, or images by --data.path, also "
                "an ImageSource of yours"
            )
        for path, origin in origins(argv).items():
            origin.refuse_without_classes(path)
        return CommandLine(verb, argv if model else with_options_of_module(argv), model, data)
