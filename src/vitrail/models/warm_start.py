"""Weights to start from: another run's checkpoint, for images of any size and any classes."""

from typing import Any

from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitrail.attention.from_convolution import ConvolutionAttention
from vitrail.errors import UsageError
from vitrail.models.checkpoint import read_checkpoint
from vitrail.models.timm_models import load_matching
from vitrail.vectors.positions.offsets import clipped
from vitrail.vectors.positions.relative import Relative, resampled
from vitrail.vectors.positions.shaw import Shaw


def start_from(network: nn.Module, pretrained: bool | str) -> nn.Module:
    """Load what fits of a checkpoint of `vitrail fit`, and log the rest."""
    if pretrained is True:
        raise UsageError("pretrained weights need `name`, a network of timm; or give the path of a run's checkpoint")
    if pretrained:
        source, _ = read_checkpoint(str(pretrained))
        load_matching(network, source.state_dict() | tables_for(network, source))
    return network


def tables_for(network: nn.Module, source: nn.Module) -> dict[str, Tensor]:
    """The source's tables of positions, interpolated to the network's grid; a convolution's are those of its kernel."""
    tables: dict[str, Tensor] = {}
    made = dict(source.named_modules())
    for name, module in network.named_modules():
        there = made.get(name)
        if isinstance(module, Relative) and isinstance(there, Relative) and module.grid != there.grid:
            tables[f"{name}.table"] = resampled(there.table.detach(), there.grid, module.grid)
        if isinstance(module, Shaw) and isinstance(there, Shaw) and module.grid != there.grid:
            both = {"keys": there.keys, "values": there.values}
            tables |= {f"{name}.{key}": clipped(one.detach(), there.grid, module.grid) for key, one in both.items()}
        if isinstance(module, ConvolutionAttention) and isinstance(there, nn.Conv2d):
            tables |= {f"{name}.positions.{key}": one for key, one in module.positions.state_dict().items()}
    if isinstance(network, VisionTransformer) and isinstance(source, VisionTransformer):
        tables |= learned_positions(network, source)
    return tables


def learned_positions(network: Any, source: Any) -> dict[str, Tensor]:
    here, there = network.patch_embed.grid_size, source.patch_embed.grid_size
    learned = isinstance(network.pos_embed, nn.Parameter) and isinstance(source.pos_embed, nn.Parameter)
    if not learned or here == there or network.embed_dim != source.embed_dim:
        return {}
    before = 0 if source.no_embed_class else source.num_prefix_tokens
    table = source.pos_embed.detach()
    return {"pos_embed": resample_abs_pos_embed(table, list(here), list(there), num_prefix_tokens=before)}
