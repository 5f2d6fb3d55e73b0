"""From the plain data of a recipe to its module and transforms, built as `vitrail fit` builds them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from jsonargparse import ArgumentParser
from torch import nn

from vitrail.images.canvas import InputRule
from vitrail.training.module import ImageModule

Plain = dict[str, Any]


@cache
def parser() -> ArgumentParser:
    """Parses the `model` section of a recipe, and a list of transforms."""
    made = ArgumentParser(exit_on_error=False)
    made.add_class_arguments(ImageModule, "model")
    made.add_argument("--augment", type=list[nn.Module], default=[])
    return made


def instantiate(
    model: Plain, augment: Sequence[Any], classes: int, rule: InputRule, task: str = "classification"
) -> tuple[ImageModule, list[nn.Module]]:
    """The module and the transforms of its training images."""
    derived = {"classes": classes, "image_size": rule.size, "task": task}
    derived |= {"resize": rule.resize, "patch": rule.patch, "width": rule.width, "edges": rule.edges}
    reader = parser()
    built: Any = reader.instantiate(reader.parse_object({"model": {**model, **derived}, "augment": list(augment)}))
    return built.model, built.augment
