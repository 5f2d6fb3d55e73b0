"""A network of the user's own: any nn.Module from pixels to logits, by its import path and plain arguments."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from inspect import Parameter, isclass, signature
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vitrail.errors import ModelError, UsageError, first_line
from vitrail.models.architecture import Architecture
from vitrail.models.network import CALLS
from vitrail.models.warm_start import start_from
from vitrail.own_class import Plain
from vitrail.tasks.task import TaskName

TASKS: tuple[TaskName, ...] = ("classification", "multilabel")  # those of one row of logits


class OfClasses(Protocol):
    """What a recipe may name as a network: a class or function that takes some of these, which the data decide."""

    def __call__(self, *, num_classes: int, classes: int, image_size: int, img_size: int) -> nn.Module: ...


@dataclass(frozen=True)
class OwnNetwork(Architecture):
    """Any nn.Module from pixels [B, 3, size, size] to logits [B, classes].

    Args:
        network: import path of its class, or of a function that makes it.
        arguments: plain ones of its constructor; the number of classes and the size of images, by the names
            num_classes or classes, and image_size or img_size, come from the data.
    """

    network: str = ""
    arguments: Plain = field(default_factory=dict)

    def to_plain(self) -> Plain:
        """As the user names it, unless it starts from other weights than its own."""
        return super().to_plain() if self.pretrained else {"class_path": self.network, "init_args": self.arguments}

    def check_plain(self) -> None:
        try:
            json.dumps(self.arguments)
        except TypeError as fault:
            raise ModelError(f"a checkpoint cannot hold the arguments of {self.network}: {fault}") from fault

    def build(self, classes: int, image_size: int, task: TaskName = "classification") -> nn.Module:
        refuse_other_task(task, self.network)
        made = made_by(self.network, self.arguments, classes, image_size)
        return start_from(with_calls(made, classes, image_size), self.run_it_starts_from or self.pretrained)


def architecture_of(network: Architecture | Callable[..., nn.Module]) -> Architecture:
    """An architecture, also of a network that is given by its class, or by a function, with its arguments."""
    if isinstance(network, Architecture):
        return network
    made, arguments = (network.args[-1], network.keywords) if isinstance(network, partial) else (network, {})
    return OwnNetwork(
        network=f"{made.__module__}.{made.__qualname__}", arguments=without_default_objects(made, arguments)
    )


def without_default_objects(made: Callable[..., Any], arguments: Mapping[str, Any]) -> Plain:
    """The arguments but those that no checkpoint can hold and that the constructor makes itself."""
    defaults = {name: one.default for name, one in signature(made).parameters.items()}
    return {
        name: value for name, value in arguments.items() if is_plain(value) or repr(value) != repr(defaults.get(name))
    }


def is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def refuse_other_task(task: TaskName, network: str) -> None:
    if task not in TASKS:
        raise UsageError(
            f"the task is {task}, and {network} has logits for whole images: extend vitrail.models.Architecture, or "
            "choose vitrail.models.ViT or CNN"
        )


def made_by(path: str, arguments: Plain, classes: int, image_size: int) -> nn.Module:
    make = at(path)
    derived = derived_arguments(make, classes, image_size)
    try:
        made = make(**{**derived, **arguments})
    except (AttributeError, TypeError, ValueError) as fault:  # objects among its arguments are plain here
        raise UsageError(f"{path} cannot be built: {fault}") from fault
    if not isinstance(made, nn.Module):
        raise UsageError(f"{path} gives a {type(made).__name__}, and a network is a torch.nn.Module")
    return made


def at(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    try:
        made = getattr(import_module(module), name)
    except (ImportError, ValueError, AttributeError) as fault:
        raise ModelError(
            f"a recipe or checkpoint names {path}, which cannot be imported here ({fault}): run this in the folder "
            f"where {module.partition('.')[0]}.py is, or name that folder in PYTHONPATH"
        ) from fault
    if not callable(made):
        raise ModelError(f"a recipe or checkpoint names {path}, which makes no network")
    return made  # type: ignore[no-any-return]


def is_network(path: str) -> bool:
    """Whether this names a network, or a function that makes one, and no architecture."""
    make = at(path)
    return issubclass(make, nn.Module) if isclass(make) else True


def derived_arguments(make: Callable[..., Any], classes: int, image_size: int) -> dict[str, int]:
    """What the data decide, by the names that the constructor has for it."""
    values = {"num_classes": classes, "classes": classes, "image_size": image_size, "img_size": image_size}
    parameters = signature(make).parameters
    taken = {name: value for name, value in values.items() if name in parameters}
    takes_any = any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())
    if not isclass(make) and takes_any and not taken:  # as torchvision's functions pass it on
        return {"num_classes": classes}
    return taken


def with_calls(network: nn.Module, classes: int, image_size: int) -> nn.Module:
    """The network itself if it has timm's calls, else with these around it."""
    if all(callable(getattr(network, name, None)) for name in CALLS):
        return network
    return Called(network, classes, image_size)


class Called(nn.Module):
    """A network with timm's calls: its head is the linear layer whose outputs are the logits, if there is one."""

    def __init__(self, network: nn.Module, classes: int, image_size: int) -> None:
        super().__init__()
        self.network = network
        if (statistics := getattr(network, "pretrained_cfg", None)) is not None:
            self.pretrained_cfg = statistics
        self.head = name_of_head(network, classes, image_size)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels)
        return logits

    def forward_features(self, pixels: Tensor) -> Tensor:
        """What the head reads, or the logits where no layer gives them as they are."""
        if self.head is None:
            return self.forward(pixels)
        with inputs_of(self.get_classifier()) as seen:
            self.network(pixels)
        return seen[-1]

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        logits: Tensor = features if pre_logits else self.get_classifier()(features)
        return logits

    def get_classifier(self) -> Any:
        return nn.Identity() if self.head is None else self.network.get_submodule(self.head)


@contextmanager
def inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What the layer is called with inside the `with`."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        yield seen
    finally:
        hook.remove()


def name_of_head(network: nn.Module, classes: int, image_size: int) -> str | None:
    """The linear layer whose outputs the network returns as they are."""
    outputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, given, output, name=name: outputs.update({name: output}))
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        logits = logits_of_noise(network, classes, image_size)
    finally:
        for hook in hooks:
            hook.remove()
    same = [name for name, output in outputs.items() if output.shape == logits.shape and torch.equal(output, logits)]
    return same[-1] if same else None


def logits_of_noise(network: nn.Module, classes: int, image_size: int) -> Tensor:
    """One call, by which a network of another form is refused before it is trained."""
    kind, modes = type(network).__name__, [(module, module.training) for module in network.modules()]
    generator = torch.Generator().manual_seed(0)
    network.eval()
    try:
        with torch.no_grad():
            logits = network(torch.randn(2, 3, image_size, image_size, generator=generator))
    except (RuntimeError, TypeError, ValueError) as fault:  # of shapes and arguments
        raise UsageError(
            f"{kind} cannot be called on pixels [2, 3, {image_size}, {image_size}]: {first_line(fault)}"
        ) from fault
    finally:
        for module, mode in modes:
            module.training = mode
    if isinstance(logits, Tensor) and logits.shape == (2, classes):
        return logits
    given = f"of shape {list(logits.shape)}" if isinstance(logits, Tensor) else f"in a {type(logits).__name__}"
    raise UsageError(f"{kind} gives outputs {given} for 2 images of {classes} classes, not logits [2, {classes}]")
