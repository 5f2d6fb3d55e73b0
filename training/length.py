"""How long a run is where its recipe says `auto`: by the number of its training images."""

from collections.abc import Mapping
from typing import Any, Literal

import pytorch_lightning as pl

AUTO = "auto"
EPOCHS = {True: 10, False: 30}  # with pretrained weights, and from scratch
LEAST_STEPS = {True: 300, False: 1000}  # of small sets, which are seen more often
VALIDATIONS = 10


class Trainer(pl.Trainer):
    """Lightning's, in whose place in the configuration `max_steps` may be `auto`."""

    def __init__(self, max_steps: int | Literal["auto"] = -1, **kwargs: Any) -> None:
        assert isinstance(max_steps, int)  # the command line has replaced `auto`
        super().__init__(max_steps=max_steps, **kwargs)


def resolved(
    options: Mapping[str, Any], images: int, batch_size: int, world: int, is_pretrained: bool
) -> dict[str, int]:
    """The numbers in place of `auto` in the options of a trainer, for so many training images.

    Each of `world` processes takes batches of its own, and a step the batches that are accumulated; validations are
    counted in batches of a process, as Lightning counts them.
    """
    together = options["accumulate_grad_batches"]
    numbers: dict[str, int] = {}
    if options["max_steps"] == AUTO:
        numbers["max_steps"] = steps_for(images, images_a_step(options, images, batch_size, world), is_pretrained)
    if options["val_check_interval"] == AUTO:
        steps = numbers.get("max_steps", options["max_steps"])
        is_by_steps = steps > 0 and options["check_val_every_n_epoch"] is None
        of_epoch = images // (world * batch_of(images, batch_size, world))
        numbers["val_check_interval"] = max(1, steps * together // VALIDATIONS if is_by_steps else of_epoch)
    return numbers


def images_a_step(options: Mapping[str, Any], images: int, batch_size: int, world: int) -> int:
    """Of all processes, and of all batches that are accumulated."""
    return batch_of(images, batch_size, world) * world * int(options["accumulate_grad_batches"])


def batch_of(images: int, batch_size: int, world: int) -> int:
    """The images of a batch of one process, which has an equal share of all."""
    return max(1, min(batch_size, images // world))


def steps_for(images: int, together: int, is_pretrained: bool) -> int:
    """Steps of so many images together."""
    return max(LEAST_STEPS[is_pretrained], EPOCHS[is_pretrained] * images // together)


def described(steps: int, images: int, together: int) -> str:
    return f"max_steps auto: {steps:,} steps of {together} images, {steps * together / images:.1f} epochs"
