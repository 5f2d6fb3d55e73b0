"""The GPUs that this process may use, by the names under which `CUDA_VISIBLE_DEVICES` knows them."""

import os

import torch

VARIABLE = "CUDA_VISIBLE_DEVICES"
MIG = "MIG-"


def visible_gpus() -> tuple[str, ...]:
    """One name a GPU: a process whose variable holds that name alone has that GPU alone."""
    return names_of(os.environ.get(VARIABLE), torch.cuda.device_count())


def names_of(variable: str | None, count: int) -> tuple[str, ...]:
    """Names of the `count` GPUs that CUDA sees with this value of the variable; unset, they are numbered.

    CUDA reads entries up to the first that names no GPU, such as -1 or a number that is too high, so the visible ones
    are the first `count`. Of several MIG instances it shows a process only the first, though each can be used alone.
    """
    if variable is None:
        return tuple(map(str, range(count)))
    names = tuple(name.strip() for name in variable.split(","))
    if count and all(name.startswith(MIG) for name in names):
        return names
    return names[:count]
