"""A linear probe: the head alone, fitted to the features of a frozen network, with the penalty that validates best."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.models.input import Input
from vitrail.tasks.training import TrainingTask
from vitrail.training.data_module import ImageDataModule
from vitrail.training.features import Features, FrozenNetwork
from vitrail.training.precision import PLAIN

# Of the squared weights, beside the mean loss of standardised features; the strongest first, each starting from the
# one before.
PENALTIES = tuple(float(penalty) for penalty in np.geomspace(1, 1e-4, 9))
ITERATIONS = 100
TOLERANCE = 1e-6


class HeadAlone:
    """What the loss of a task needs of a network, where the inputs are features already."""

    def __init__(self, head: nn.Module) -> None:
        self.head = head

    def __call__(self, features: Tensor) -> Any:
        return self.head(features)

    def get_classifier(self) -> nn.Module:
        return self.head


@dataclass(frozen=True, eq=False)
class Scale:
    """Standardises features: penalties mean the same for every network then."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, inputs: Tensor) -> "Scale":
        deviation = inputs.std(dim=0, correction=0)
        return cls(inputs.mean(dim=0), torch.where(deviation > 0, deviation, torch.ones(())))

    def standard(self, inputs: Tensor) -> Tensor:
        return (inputs - self.mean) / self.deviation

    def fold_into(self, head: nn.Linear) -> None:
        """Let a head of standardised features take raw ones, with the same outputs."""
        with torch.no_grad():
            head.weight.div_(self.deviation)
            head.bias.sub_(head.weight @ self.mean)


@dataclass(frozen=True)
class Fitted:
    """What was chosen."""

    penalty: float
    loss: float  # on the validation images


def start_from_probe(network: Any, to_pixels: Input, task: TrainingTask, data: ImageDataModule, device: str) -> None:
    """Give a network the head that suits its features as they are, so that training need not distort them first.

    Linear probing, then fine-tuning (2202.10054). In float32, so that it does not depend on what is fastest here.
    """
    frozen = FrozenNetwork(network, to_pixels, device, PLAIN)
    head = deepcopy(network.get_classifier()).cpu()
    fit_head(head, task, frozen.features(data, "train"), frozen.features(data, "val"))
    network.get_classifier().load_state_dict(head.state_dict())


def fit_head(head: nn.Module, task: TrainingTask, train: Features, val: Features) -> Fitted:
    """Fit the head to training features, and choose the penalty by the loss on validation features."""
    linear = linear_of(head)
    scale = Scale.of(train.inputs)
    inputs, checked = scale.standard(train.inputs), scale.standard(val.inputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    best, weights = Fitted(0.0, float("inf")), {}
    for penalty in PENALTIES:
        minimise(head, linear, task, inputs, train.targets, penalty)
        loss = validation_loss(head, task, checked, val.targets)
        if loss < best.loss:
            best, weights = Fitted(penalty, loss), {name: one.clone() for name, one in head.state_dict().items()}
        elif loss > 1.5 * best.loss:  # weaker penalties overfit more still
            break
    head.load_state_dict(weights)
    scale.fold_into(linear)
    return best


def linear_of(head: nn.Module) -> nn.Linear:
    if not isinstance(head, nn.Linear):
        raise ModelError(f"a probe needs a network with one linear layer as its head, not {type(head).__name__}")
    return head


def minimise(
    head: nn.Module, linear: nn.Linear, task: TrainingTask, inputs: Tensor, targets: Tensor, penalty: float
) -> None:
    """The mean loss and half the penalty times the squared weights, by L-BFGS."""
    parameters = [linear.weight, linear.bias]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=ITERATIONS, tolerance_grad=TOLERANCE, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = task.loss(HeadAlone(head), inputs, targets) + penalty / 2 * linear.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)


@torch.inference_mode()
def validation_loss(head: nn.Module, task: TrainingTask, inputs: Tensor, targets: Tensor) -> float:
    return float(task.validation(HeadAlone(head), head(inputs), targets)["val_loss"])


def cross_validated(
    head: nn.Module, task: TrainingTask, features: Features, penalty: float, folds: Sequence[NDArray[np.int64]]
) -> Tensor:
    """The predictions [N, K] for each image by a head that was not fitted to it."""
    scale = Scale.of(features.inputs)
    inputs, linear = scale.standard(features.inputs), linear_of(head)
    predictions = torch.empty(len(inputs), linear.out_features)
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(inputs)), fold)
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        minimise(head, linear, task, inputs[rest], features.targets[rest], penalty)
        with torch.inference_mode():
            predictions[fold] = task.predictions(head(inputs[fold]))
    return predictions
