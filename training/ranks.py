"""Several processes train one network: which images each of them takes, and how their predictions come together."""

from collections.abc import Sequence

import numpy as np
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from vitrail.errors import UsageError

say = rank_zero_only(print)


def is_first() -> bool:
    """Whether this process is the one that names the run, writes its files and speaks."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def share_of(count: int, rank: int, world: int) -> range:
    """The images of one process, every one of `world`: no image is taken twice and none is left out."""
    if count < world:
        raise UsageError(f"{count} images cannot be divided among {world} processes: choose fewer --trainer.devices")
    return range(rank, count, world)


def even_batches(count: int, size: int, rank: int, world: int) -> list[list[int]]:
    """One process's share in as many batches as every other's, since each batch synchronises the network's buffers."""
    batches = -(-len(share_of(count, 0, world)) // size)
    return [batch.tolist() for batch in np.array_split(share_of(count, rank, world), batches)]


def interleaved(parts: Sequence[Tensor]) -> Tensor:
    """The rows of all processes' shares, in the order of the images."""
    whole = torch.empty(sum(map(len, parts)), *parts[0].shape[1:], dtype=parts[0].dtype)
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part
    return whole


def from_all_ranks(part: Tensor, device: torch.device) -> Tensor:
    """This process's rows → those of all processes, in the order of the images; called by all of them at once."""
    return interleaved([rows.cpu() for rows in gather_all_tensors(part.to(device))])
