"""FSDP: weights, gradients and optimizer divided among the processes; checkpoints are whole files as ever."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict, set_optimizer_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer

FSDP = "fsdp"


class FullySharded(ModelParallelStrategy):
    """Lightning's strategy over torch's `fully_shard`, on every accelerator.

    Its FSDPStrategy is for GPUs alone, and lays the parameters out as vectors, in which neither the weight decay nor
    Muon finds the matrices.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Lightning numbers the parameters in the order of the network; other checkpoints do in that of the groups."""
        state = super().optimizer_state(optimizer)
        return numbered(state) if state else state

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Of any run, in one process or in several; read in part, as each process needs it."""
        path = self.broadcast(checkpoint_path)
        checkpoint: dict[str, Any] = torch.load(path, mmap=True, map_location="cpu", weights_only=weights_only)
        return checkpoint

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """After the module has seen the checkpoint, and may have refused it."""
        assert self.model is not None
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self.model, checkpoint["state_dict"], options=options)

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """After the module has put its schedule into the checkpoint."""
        assert self.model is not None
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            inner = optimizer._optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
            options = StateDictOptions(full_state_dict=True)
            set_optimizer_state_dict(self.model, inner, named(state, inner, self.model), options=options)


def numbered(state: dict[str, Any]) -> dict[str, Any]:
    """The state of an optimizer with its parameters numbered group by group, as torch does."""
    order = {old: new for new, old in enumerate(one for group in state["param_groups"] for one in group["params"])}
    groups = [{**group, "params": [order[one] for one in group["params"]]} for group in state["param_groups"]]
    return {"state": {order[one]: value for one, value in state["state"].items()}, "param_groups": groups}


def named(state: dict[str, Any], optimizer: Optimizer, model: nn.Module) -> dict[str, Any]:
    """The same with the names of parameters in place of numbers."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups: list[dict[str, Any]] = []
    by_number: dict[int, str] = {}
    for saved, group in zip(state["param_groups"], optimizer.param_groups, strict=True):
        here = [names[id(parameter)] for parameter in group["params"]]
        by_number |= dict(zip(saved["params"], here, strict=True))
        groups.append({**saved, "params": here})
    return {"state": {by_number[one]: value for one, value in state["state"].items()}, "param_groups": groups}


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Each block by itself, so that only one is whole at a time; then what is left."""
    for block in blocks_of(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The outermost items of lists of modules: the blocks of a ViT, the stages of a CNN."""
    if isinstance(network, nn.ModuleList | nn.Sequential):
        return [one for one in network if any(True for _ in one.parameters())]
    return [block for child in network.children() for block in blocks_of(child)]
