"""Training in several processes: the share of images of each rank, and the gathering of predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor, distributed
from torchmetrics.utilities.distributed import gather_all_tensors

from vitrail.errors import UsageError

print_once = rank_zero_only(print)


def is_first() -> bool:
    """Whether this process names the run, writes its files and prints."""
    return rank_here() == 0


def rank_here() -> int:
    return int(getattr(rank_zero_only, "rank", 0))


def processes(options: Mapping[str, Any]) -> int:
    """How many processes a trainer of these options has, on all machines; as many as were started, if they were."""
    plain = {name: options[name] for name in ("accelerator", "devices", "num_nodes")}
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_model_summary=False, **plain)
    world = trainer.num_devices * trainer.num_nodes
    for started in (TorchElasticEnvironment, SLURMEnvironment):
        if started.detect() and started().world_size() != world:
            raise UsageError(
                f"{started().world_size()} processes were started, and the trainer has {world}: give "
                "--trainer.devices, the number on each machine, and --trainer.num_nodes, the number of machines"
            )
    return world


def share_of(count: int, rank: int, world: int) -> range:
    """The images of one rank, every `world`-th: no image is taken twice and none is left out."""
    if count < world:
        raise UsageError(f"{count} images cannot be divided among {world} processes: choose fewer --trainer.devices")
    return range(rank, count, world)


def even_batches(count: int, size: int, rank: int, world: int) -> list[list[int]]:
    """One rank's share, in the same number of batches in every rank, since each batch synchronises buffers."""
    batches = -(-len(share_of(count, 0, world)) // size)
    return [batch.tolist() for batch in np.array_split(share_of(count, rank, world), batches)]


def interleaved(parts: Sequence[Tensor]) -> Tensor:
    """The rows of all ranks' shares, in the order of the images."""
    whole = torch.empty(sum(map(len, parts)), *parts[0].shape[1:], dtype=parts[0].dtype)
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part
    return whole


class SharedBuffers(Callback):
    """All processes validate the network that a checkpoint of the first holds.

    The statistics of BatchNorm are of each process's own images: with DDP since the last step, with FSDP since ever.
    """

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for buffer in pl_module.buffers():
            distributed.broadcast(buffer, src=0)


def from_all_ranks(part: Tensor, device: torch.device) -> Tensor:
    """The rows of all ranks in the order of the images; a collective call."""
    return interleaved([rows.cpu() for rows in gather_all_tensors(part.to(device))])
