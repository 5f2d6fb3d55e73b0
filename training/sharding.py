"""FSDP: weights, gradients and optimizer divided among the processes; checkpoints are whole files as ever."""

from pytorch_lightning.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

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


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Each block by itself, so that only one is whole at a time; then what is left."""
    for block in blocks_of(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The outermost items of lists of modules: the blocks of a ViT, the stages of a CNN."""
    lists = (nn.ModuleList, nn.Sequential)
    if isinstance(network, lists):
        return [one for one in network if any(True for _ in one.parameters())]
    return [block for child in network.children() for block in blocks_of(child)]
