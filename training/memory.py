"""A batch that does not fit into the memory: which would."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch

from vitrail.errors import UsageError
from vitrail.models.input import blank
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule


class BatchTooLarge(UsageError):
    """The memory does not hold a step on a batch."""


def is_out_of_memory(fault: BaseException) -> bool:
    return isinstance(fault, torch.OutOfMemoryError) or "DefaultCPUAllocator: " in str(fault)


def fit_or_explain(fit: Callable[[], Any], module: ImageModule, data: ImageDataModule, device: str) -> None:
    """Run a training; one that runs out of memory ends with the largest batch that would not."""
    try:
        fit()
        return
    except RuntimeError as fault:  # what torch raises on both devices
        if not is_out_of_memory(fault):
            raise
    # Here the fault and the tensors in its frames are gone.
    if device == "cuda":
        torch.cuda.empty_cache()
    raise BatchTooLarge(explanation(data.batch_size, largest_batch(module, data.batch_size, device)))


def explanation(batch: int, fitting: int) -> str:
    if not fitting:
        return "there is not enough memory to train this network, even on one image at a time: choose a smaller one"
    together = -(-batch // fitting)
    return (
        f"a batch of {batch} images does not fit into the memory; one of {fitting} does: --data.batch_size {fitting} "
        f"--trainer.accumulate_grad_batches {together} takes about the same steps"
    )


def largest_batch(module: ImageModule, batch: int, device: str) -> int:
    """The first half, quarter, … of the batch that a step fits the memory with; 0 where no image does."""
    while batch := batch // 2:
        try:
            take_step(module, batch, device)
        except RuntimeError as fault:
            if not is_out_of_memory(fault):
                raise
        else:
            return batch
    return 0


def take_step(module: ImageModule, batch: int, device: str) -> None:
    """Forward, back and update of a copy, with images that show nothing."""
    network = deepcopy(module.net).to(device).train()
    optimizer = module.optimizer(network.parameters())
    pixels = module.input.to(device).normalised(blank(module.input.rule, batch).to(device))
    network(pixels).float().square().mean().backward()
    optimizer.step()
