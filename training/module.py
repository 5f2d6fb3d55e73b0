"""The LightningModule: trains, validates and tests any network on the task of the data."""

from dataclasses import replace
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.modules.batchnorm import _BatchNorm

from vitrail.data.source import PARTS, Part
from vitrail.errors import DataError, ModelError, UsageError, first_few
from vitrail.images.canvas import Resize, input_rule
from vitrail.models import Architecture
from vitrail.models.checkpoint import KEY, Origin, load_checkpoint
from vitrail.models.input import Input
from vitrail.models.lora import LoRA
from vitrail.models.network import refuse_without_calls
from vitrail.models.own_network import OfClasses, architecture_of
from vitrail.models.timm_models import Three, pixel_statistics
from vitrail.models.weight_decay import parameter_groups
from vitrail.tasks.task import TaskName
from vitrail.tasks.training import TRAINING_TASKS, TrainingTask
from vitrail.tasks.training_task import Balance
from vitrail.training.augmentation import mixing_of
from vitrail.training.batches import MIXING, Batch, Pixels
from vitrail.training.data_module import ImageDataModule
from vitrail.training.distillation import Distillation, Teacher, refuse_other_task
from vitrail.training.muon import Group, Muon, muon_groups
from vitrail.training.pixel_statistics import measured
from vitrail.training.probe import linear_of, start_from_probe
from vitrail.training.ranks import from_all_ranks
from vitrail.training.rates import Rates
from vitrail.training.schedule import WarmupCosine, config_of, scale_to
from vitrail.training.sharding import FullySharded, shard

# The parts of the data that each command reads, which must be those of the run.
READ: dict[str | None, tuple[Part, ...]] = {"fit": PARTS, "validate": ("val",), "test": ("test",), "predict": ("test",)}


class ImageModule(pl.LightningModule):
    """Classification, or the task of the data: several labels, values, either for each cell, a sequence, or boxes.

    Args:
        net: the architecture of the network, from vitrail.models; or any nn.Module, or a function that makes one, which
            takes the number of classes as num_classes or classes.
        optimizer: norms, biases, positions, tokens and queries are not decayed.
        schedule: of the learning rate, by steps; or a scheduler of torch, by epochs.
        rates: of the head and of single layers, as factors of the learning rate.
        probe_first: the head starts as a linear probe of the pretrained network, fitted to the training images; for
            few steps, in which a head from nothing spoils the features before it learns from them.
        freeze_statistics: keep the means and deviations of BatchNorm, which small batches and few steps estimate badly.
        label_smoothing: share of the target that is spread over all classes.
        mixup: the α of Beta(α, α), by which pairs of training images are blended; 0 blends none.
        cutmix: the same, by which a rectangle of one training image covers another; with both, each image draws which.
        classes: number of classes or values; linked to the data.
        image_size: side of the canvas in pixels; linked to the data.
        resize: how images become canvases; linked to the data.
        patch: side of the patches of images at their own shapes; linked to the data.
        width: of vectors, where the data are sets of them and no images; linked to the data.
        edges: how many numbers of each vector are its neighbours, where the data are graphs; linked to the data.
        task: classification, multilabel, regression, dense, dense-regression, sequence or detection;
            linked to the data.
        statistics: whose mean and standard deviation normalise pixels: the network's, which are those of its pretrained
            weights, else 0.5; or those of the training images.
        balance: how classes of few training images get their share: weights multiply their loss; the sampler draws each
            class equally often; logit_adjust adds the logarithm of its share to the logit of each class, in the loss.
        lora: trains updates of low rank of a pretrained ViT's blocks, and the head, in place of all weights.
        distillation: trains on the predictions of another run's network too, for classification.
    """

    def __init__(
        self,
        net: Architecture | OfClasses,
        classes: int,
        image_size: int,
        resize: Resize = "squash",
        patch: int | None = None,
        width: int | None = None,
        edges: int = 0,
        task: TaskName = "classification",
        optimizer: OptimizerCallable = torch.optim.AdamW,
        schedule: WarmupCosine | LRSchedulerCallable | None = None,
        rates: Rates | None = None,
        probe_first: bool = False,
        freeze_statistics: bool = False,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        statistics: Literal["network", "images"] = "network",
        balance: Balance = "none",
        lora: LoRA | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.architecture = net = architecture_of(net)
        if statistics == "images" and net.name is not None and net.pretrained:
            raise UsageError(f"the weights of '{net.name}' come with statistics of pixels: leave out statistics")
        self.training_task: TrainingTask = TRAINING_TASKS[task](classes, label_smoothing, mixup, cutmix, balance)
        rule = input_rule(image_size, resize, patch, width, edges)
        self.net: Any = net.build_for(rule, classes, task)
        refuse_without_calls(self.net)
        self.training_task.check(self.net)
        self.lora = lora
        if lora is not None:
            lora.put_into(self.net)
        self.distillation = distillation
        if distillation is not None:
            refuse_other_task(self.training_task)
        self.teacher: Teacher | None = None  # read when training begins: nothing else needs its file
        self.optimizer = optimizer
        probe = made_by(optimizer)
        self.decay, self.lr = probe.param_groups[0].get("weight_decay", 0.0), probe.param_groups[0]["lr"]
        self.is_muon = isinstance(probe, Muon)
        self.schedule = schedule or WarmupCosine()
        self.rates = rates
        self.probe_first = probe_first
        if probe_first:
            refuse_without_probe(net, self.net, rule.resize, task)
        self.freeze_statistics = freeze_statistics
        self.mix = mixing_of(mixup, cutmix, classes)
        if self.mix is not None and rule.is_native:
            raise UsageError("sets of several numbers of vectors cannot be blended: leave out mixup and cutmix")
        if statistics == "images" and width is not None:
            raise UsageError("statistics of pixels are for images, and these data are vectors: leave out statistics")
        self.statistics = statistics
        mean, std = pixel_statistics(self.net)
        self.input = Input(replace(rule, mean=mean, std=std))
        self.weights: Tensor | None = None  # of the training images, by index
        self.predictions: list[Tensor] = []
        self.averaged = False  # whether the weights are averages over training steps, as a callback may make them

    def forward(self, image: Pixels) -> Tensor:
        """uint8 [B, 3, size, size], or sets of patches, → logits, or values."""
        outputs: Tensor = self.net(self.input.normalised(image))
        return outputs

    def setup(self, stage: str) -> None:
        if stage == "fit":
            weights = self.data.weights("train")
            if weights is not None and self.mix is not None:
                raise UsageError("a blend of two images has no weight: leave out mixup and cutmix, or the weights")
            self.weights = None if weights is None else torch.from_numpy(weights).float()
            self.training_task.prepare(self.net, self.data.targets("train").labels, weights)
            self.data.balanced = self.training_task.balance == "sampler"
            if self.statistics == "images":
                self.normalise_by(*measured(self.data))
            self.record_images(self.data)
            if self.teacher is not None:
                self.teacher.to(self.trainer.strategy.root_device)

    def configure_model(self) -> None:
        """Divide the network among the processes of FSDP; a second call, as for a test after a fit, changes nothing."""
        strategy = self.trainer.strategy
        if isinstance(strategy, FullySharded) and not isinstance(self.net, FSDPModule):
            shard(self.net, strategy.device_mesh["data_parallel"])

    def normalise_by(self, mean: Three, std: Three) -> None:
        self.input = Input(replace(self.input.rule, mean=mean, std=std)).to(self.device)

    def record_images(self, data: ImageDataModule) -> None:
        """Hash the images of the run, and refuse test images that an earlier run has seen, before the first step."""
        if (path := self.architecture.run_it_starts_from) is not None:
            data.start = load_checkpoint(path)[0].run_data
        if self.distillation is not None:
            self.teacher = self.teacher or Teacher(self.distillation, data)
            data.teacher = self.teacher.origin.run_data
        _ = data.run_data

    @property
    def data(self) -> ImageDataModule:
        data: ImageDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        return data

    def training_step(self, batch: Batch, index: int) -> Tensor:
        image, target, indices = batch
        pixels = self.input.normalised(image)
        if self.mix is not None:
            pixels, target = self.mix(pixels, target, self.data.draws(indices, MIXING))
        weights = None if self.weights is None else self.weights[indices].to(pixels.device)
        if self.teacher is None:
            loss = self.training_task.loss(self.net, pixels, target, weights)
        else:
            loss = self.teacher.loss(self.training_task, self.net, pixels, target, weights, self.input)
        self.log("train_loss", loss, on_step=True, on_epoch=False, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        image, target, _ = batch
        metrics = self.training_task.validation(self.net, self(image), target)
        # Lightning divides by the mean of the ranks' counts, as an integer: a multiple of the ranks keeps it exact.
        weight = len(image) * self.trainer.world_size
        self.log_dict(metrics, batch_size=weight, prog_bar=True, sync_dist=True)

    def on_test_epoch_start(self) -> None:
        self.predictions = []

    def test_step(self, batch: Batch, index: int) -> None:
        outputs: Tensor = self(batch[0])
        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))  # numpy has no bfloat16
        self.predictions.append(self.training_task.predictions(outputs).cpu())

    def on_test_epoch_end(self) -> None:
        if self.trainer.world_size > 1:
            self.predictions = [from_all_ranks(torch.cat(self.predictions), self.device)]

    on_predict_epoch_start, predict_step, on_predict_epoch_end = on_test_epoch_start, test_step, on_test_epoch_end

    def groups(self) -> list[Group]:
        """The parameters that are trained, by weight decay and learning rate."""
        grouped = muon_groups if self.is_muon else parameter_groups
        groups = grouped(self.net, self.decay)
        if self.rates is not None:  # of the rate in the recipe, which `on_fit_start` scales
            groups = self.rates.split(groups, self.net, made_by(self.optimizer).defaults["lr"])
        return groups

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.groups())
        steps = int(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": config_of(self.schedule, optimizer, steps)}  # type: ignore[return-value]

    def on_fit_start(self) -> None:
        """Scale the schedule to `lr`, which the learning rate finder may have changed; start from a probe."""
        for config in self.trainer.lr_scheduler_configs:
            scale_to(config.scheduler, self.lr)
        if self.probe_first and self.trainer.ckpt_path is None:
            start_from_probe(self.net, self.input, self.training_task, self.data, str(self.device))
        if self.freeze_statistics:
            for module in self.net.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        data, seed = self.data, torch.initial_seed()
        origin = Origin(
            self.architecture,
            self.input.rule,
            data.classes,
            data.run_data,
            seed,
            self.training_task.task.name,
            self.averaged,
            None if self.teacher is None else self.teacher.sha256,
        )
        checkpoint[KEY] = origin.to_plain()
        lay_contiguous(checkpoint)
        if self.lora is not None:
            self.lora.merge(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of another network with one error, before torch lists every key."""
        if KEY not in checkpoint:
            raise ModelError("this is not a checkpoint written by `vitrail fit`")
        origin = Origin.from_plain(checkpoint[KEY])
        there, here = origin.architecture.untrained(), self.architecture.untrained()
        if there != here:
            raise ModelError(f"the checkpoint holds another model: {there}, the configuration has {here}")
        refuse_other_targets(self.data, origin)
        if self.lora is not None:
            self.lora.separate(checkpoint)
        self.normalise_by(origin.input.mean, origin.input.std)
        self.data.refuse_contradiction(origin.run_data, READ[self.trainer.state.fn], not self.trainer.training)
        if self.trainer.training and self.teacher is not None:
            self.teacher.refuse_another(origin)
        if self.trainer.training and checkpoint.get("lr_schedulers") and isinstance(self.schedule, WarmupCosine):
            self.schedule.rejoin(checkpoint, int(self.trainer.estimated_stepping_batches))


def refuse_without_probe(architecture: Architecture, network: Any, resize: Resize, task: TaskName) -> None:
    """A probe needs features that mean something, and a linear head of classes."""
    if not architecture.pretrained:
        raise UsageError("probe_first fits the head to pretrained features: leave it out, or give net.pretrained")
    if task not in ("classification", "multilabel"):
        raise UsageError(f"the task is {task}, and probe_first fits a head of classes of whole images: leave it out")
    if resize == "native":
        raise UsageError("probe_first is not for images at their own shapes: leave it out, or native")
    linear_of(network.get_classifier())


def refuse_other_targets(data: ImageDataModule, origin: Origin) -> None:
    """A network predicts the classes that it was trained on, by their numbers."""
    if data.task != origin.task:
        raise DataError(f"{data.selection.place}: its task is {data.task}, that of the run {origin.task}")
    if data.classes != origin.classes:
        raise DataError(
            f"{data.selection.place}: its {len(data.classes)} classes ({first_few(data.classes)}) are not the "
            f"{len(origin.classes)} of the run ({first_few(origin.classes)})"
        )


def lay_contiguous(checkpoint: dict[str, Any]) -> None:
    """A checkpoint does not depend on the memory format of its run."""
    weights = checkpoint["state_dict"]
    weights.update({name: value.contiguous() for name, value in weights.items()})
    for optimizer in filter(None, checkpoint.get("optimizer_states", ())):  # with FSDP only the first process has it
        optimizer["state"] = {
            index: {name: value.contiguous() if isinstance(value, Tensor) else value for name, value in state.items()}
            for index, state in optimizer["state"].items()
        }


def made_by(optimizer: OptimizerCallable) -> torch.optim.Optimizer:
    """One over a single number, from which its weight decay and learning rate are read."""
    try:
        return optimizer([torch.nn.Parameter(torch.zeros(1))])
    except ValueError as fault:
        raise UsageError(f"the optimizer cannot be made: {fault}") from fault
