"""Attention that is local as the 2-D convolution nearest to it, and what that convolution leaves out."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitrail.attention.from_convolution import ConvolutionAttention
from vitrail.attention.self_attention import SelfAttention
from vitrail.errors import UsageError
from vitrail.vectors.grid import Grid, cells_of


@dataclass(frozen=True)
class NearestConvolution:
    """A convolution in place of attention."""

    convolution: nn.Conv2d
    outside: Tensor  # [heads], the share of each head's weight on cells outside the kernel
    error: float  # root mean square of the difference of outputs, as a share of that of attention's outputs


@torch.no_grad()
def attention_to_conv(attention: ConvolutionAttention, images: Tensor) -> NearestConvolution:
    """The inverse of `conv_to_attention`: exact where each head sees one cell of the kernel alone.

    A head that sees several puts its values on each of them by its mean weight over the queries of an image of that
    size. The error is measured on the images [B, in, H, W].
    """
    grid = (images.shape[2], images.shape[3])
    rows, columns = (mean_in_kernel(attention, axis, grid) for axis in (0, 1))
    shares = torch.einsum("hr,hc->hrc", rows, columns).flatten(1)  # [heads, cells of the kernel]
    convolution = empty_convolution(attention)
    put(convolution, attention.weight.flatten(2) @ shares, attention.bias)
    error = relative_error(convolution(images), attention(images))
    return NearestConvolution(convolution, 1 - shares.sum(dim=1), error)


def empty_convolution(attention: ConvolutionAttention) -> nn.Conv2d:
    """Of the same geometry."""
    geometry: dict[str, Any] = {
        "kernel_size": attention.kernel,
        "stride": attention.stride,
        "padding": attention.padding,
        "dilation": attention.dilation,
        "groups": attention.groups,
        "bias": attention.bias is not None,
        "padding_mode": attention.padding_mode,
    }
    outputs, inputs = attention.weight.shape[:2]
    return nn.Conv2d(inputs * attention.groups, outputs, **geometry).to(attention.weight)


def mean_in_kernel(attention: ConvolutionAttention, axis: int, grid: Grid) -> Tensor:
    """The mean weight that queries give the rows of their kernel, [heads, rows]; or the columns."""
    weights = attention.weights_along(axis, grid)  # [heads, queries, keys]
    queries = torch.arange(weights.shape[1], device=weights.device) * attention.stride[axis]
    kernel = torch.arange(attention.kernel[axis], device=weights.device) * attention.dilation[axis]
    return weights.gather(2, (queries[:, None] + kernel).expand(len(weights), -1, -1)).mean(dim=1)


@torch.no_grad()
def layer_to_conv(attention: SelfAttention, vectors: Tensor, kernel: int = 3) -> NearestConvolution:
    """The same for a layer of a Vision Transformer without class token, as a kernel × kernel convolution over its grid.

    Weights may depend on content: their mean over the vectors [B, N, D] and over the queries whose kernel lies inside
    the grid is what the convolution can keep. Beyond the border it sees zeros and attention nothing, which is part of
    the error.
    """
    if attention.prefix:
        raise UsageError("a class token has no cell of the grid that a convolution could see: choose another pool")
    inner, around = inside_kernels(attention.grid, kernel, vectors.device)
    weights = attention.weights(vectors)[:, :, inner]  # [B, heads, inner, N]
    inside = weights.gather(3, around.expand(*weights.shape[:2], -1, -1)).mean(dim=(0, 2))  # [heads, cells]
    values = torch.unflatten(attention.qkv.weight[2 * attention.attn_dim :], 0, (attention.num_heads, -1))
    columns = torch.unflatten(attention.proj.weight, 1, (attention.num_heads, -1))  # [D, heads, head_dim]
    convolution = nn.Conv2d(values.shape[2], len(columns), kernel, padding=kernel // 2).to(values)
    bias = attention.merge(bias_of(attention))[0, 0]
    put(convolution, torch.einsum("ohd,hdi,hc->oic", columns, values, inside), bias)
    outputs = convolution(torch.unflatten(vectors.transpose(1, 2), 2, attention.grid)).flatten(2).transpose(1, 2)
    outside = 1 - inside.sum(dim=1) / weights.sum(dim=3).mean(dim=(0, 2))
    return NearestConvolution(convolution, outside, relative_error(outputs, attention(vectors)))


def inside_kernels(grid: Grid, kernel: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which cells have their whole kernel inside the grid, [inner], and the cells of it, [inner, kernel²]."""
    if kernel % 2 == 0 or kernel > min(grid):
        raise UsageError(
            f"a kernel has a middle and fits the {grid[0]}×{grid[1]} grid: choose an odd one, not {kernel}"
        )
    reach, cells = kernel // 2, cells_of(grid, device)
    last = torch.tensor(grid, device=device) - 1
    inner = ((cells >= reach) & (cells <= last - reach)).all(dim=1).nonzero().flatten()
    offsets = cells_of((kernel, kernel), device) - reach
    return inner, inner[:, None] + offsets[:, 0] * grid[1] + offsets[:, 1]


def bias_of(attention: SelfAttention) -> Tensor:
    """What heads give for values at zero, [1, heads, 1, head_dim]: the bias of the values, whose weights sum to one."""
    weight, bias = attention.qkv.weight, attention.qkv.bias
    all_three = weight.new_zeros(len(weight)) if bias is None else bias
    return all_three[2 * attention.attn_dim :].reshape(1, attention.num_heads, 1, -1)


def put(convolution: nn.Conv2d, kernel: Tensor, bias: Tensor | None) -> None:
    """Kernels as [out, in / groups, cells]."""
    convolution.weight.copy_(kernel.reshape(convolution.weight.shape))
    if convolution.bias is not None and bias is not None:
        convolution.bias.copy_(bias)


def relative_error(outputs: Tensor, expected: Tensor) -> float:
    return ((outputs - expected).square().mean().sqrt() / expected.square().mean().sqrt()).item()
