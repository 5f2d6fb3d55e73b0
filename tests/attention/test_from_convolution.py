"""Convolution as attention: the same output, by the converter and by the components of networks."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from torch import nn

from vitrail.attention import MECHANISMS, fitted
from vitrail.attention.from_convolution import SHARPNESS, conv_to_attention
from vitrail.errors import UsageError
from vitrail.vectors import patchify
from vitrail.vectors.grid import cells_of
from vitrail.vectors.positions import Quadratic


def convolution(kernel: int | tuple[int, int] = 3, **others: object) -> nn.Conv2d:
    torch.manual_seed(0)
    padding = others.pop("padding", "same")
    return nn.Conv2d(3, 5, kernel, padding=padding, **others)  # type: ignore[arg-type]


def images(*shape: int) -> torch.Tensor:
    return torch.randn(2, 3, *(shape or (8, 8)), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(8, 8), (5, 11)])
@pytest.mark.parametrize("others", [{}, {"bias": False}, {"padding": 1}])
def test_nine_heads_are_a_convolution(others: dict[str, Any], shape: tuple[int, int]) -> None:
    conv = convolution(**others).double()
    outputs = conv_to_attention(conv)(images(*shape).double())
    torch.testing.assert_close(outputs, conv(images(*shape).double()), atol=1e-12, rtol=0)


def test_float32_agrees_within_its_precision() -> None:
    conv = convolution()
    torch.testing.assert_close(conv_to_attention(conv)(images()), conv(images()), atol=4e-5, rtol=0)


@pytest.mark.parametrize("kernel", [1, 5, (3, 5), (1, 7)])
def test_kernels_of_any_odd_size_have_a_head_for_each_cell(kernel: int | tuple[int, int]) -> None:
    conv = convolution(kernel).double()
    attention = conv_to_attention(conv)
    assert len(attention.weights((8, 8))) == conv.kernel_size[0] * conv.kernel_size[1]
    expected = conv(images().double())
    torch.testing.assert_close(attention(images().double()), expected, atol=1e-12, rtol=0)


def test_each_head_attends_to_one_cell() -> None:
    weights = conv_to_attention(convolution().double()).weights((4, 4))  # [9, 16, 36]
    places = weights.argmax(dim=-1)[:, 0]  # of the first query, on the grid with its margin
    assert places.tolist() == [0, 1, 2, 6, 7, 8, 12, 13, 14]
    assert weights.amax(dim=-1).min() > 1 - 1e-15


def test_its_scores_are_quadratic_positions() -> None:
    conv = convolution().double()
    positions = Quadratic((4, 4), 9, 4).double()
    with torch.no_grad():
        positions.centre.copy_(torch.cartesian_prod(torch.arange(-1.0, 2), torch.arange(-1.0, 2)))
        positions.sharpness.fill_(SHARPNESS)
    offsets = torch.cartesian_prod(torch.arange(-3, 4), torch.arange(-3, 4))
    assert torch.equal(positions.bias(offsets), conv_to_attention(conv).positions.bias(offsets))


def test_softmax_attention_with_quadratic_positions_is_a_convolution_inside_the_image() -> None:
    """The parts of a network: queries and keys at zero, values as they are, the kernel in the last projection."""
    conv = convolution().double()
    kind = fitted(MECHANISMS["softmax"], (8, 8), 0, Quadratic)
    attention: Any = kind(3, num_heads=9, attn_head_dim=3, dim_out=5).double()
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.weight[2 * 27 :] = torch.eye(3).repeat(9, 1)
        attention.proj.weight.copy_(conv.weight.flatten(2).transpose(1, 2).flatten(1))
        attention.proj.bias.copy_(conv.bias)
        attention.positions.centre.copy_(torch.cartesian_prod(torch.arange(-1.0, 2), torch.arange(-1.0, 2)))
        attention.positions.sharpness.fill_(SHARPNESS)
    outputs = attention(images().double().flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, (8, 8))
    expected = conv(images().double())
    torch.testing.assert_close(outputs[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-12, rtol=0)
    assert (outputs - expected).abs().max() > 0.1  # at the edge there are no zeros to look at


def test_gradients_are_those_of_the_convolution() -> None:
    conv = convolution().double()
    attention = conv_to_attention(conv)
    conv(images().double()).square().sum().backward()
    attention(images().double()).square().sum().backward()
    assert conv.weight.grad is not None
    torch.testing.assert_close(attention.weight.grad, conv.weight.grad, atol=1e-10, rtol=0)
    moves = [one.grad for one in attention.positions.parameters()]
    assert all(one is not None and one.abs().max() < 1e-12 for one in moves)  # each head sees but one cell


def test_less_sharp_heads_can_move() -> None:
    attention = conv_to_attention(convolution().double(), sharpness=2.0)
    attention(images().double()).square().sum().backward()
    centre, sharpness = attention.positions.centre.grad, attention.positions.sharpness.grad
    assert centre is not None
    assert sharpness is not None
    assert (centre.abs() > 1e-3).all()
    assert (sharpness.abs() > 1e-3).all()


@pytest.mark.parametrize("others", [{}, {"padding": 1, "stride": (2, 1)}, {"kernel": (2, 3), "dilation": 2}])
def test_rows_and_then_columns_are_one_softmax_over_all_cells(others: dict[str, Any]) -> None:
    attention = conv_to_attention(convolution(**others).double(), sharpness=0.7)
    with torch.no_grad():
        for each in attention.positions.parameters():
            each.add_(0.2 * torch.randn(each.shape, generator=torch.Generator().manual_seed(2)))
    grid = (7, 9)
    queries = cells_of(attention.queries(grid)) * torch.tensor(attention.stride)
    keys = cells_of(attention.padded(grid)) - attention.middle
    weights = attention.positions.bias(keys[None] - queries[:, None]).softmax(dim=-1)
    torch.testing.assert_close(attention.weights(grid), weights, atol=1e-12, rtol=0)
    (up, down), (left, right) = attention.margin
    padded = F.pad(images(*grid).double(), (left, right, up, down)).flatten(2)  # [B, in, M]
    outputs = torch.einsum("hnm,bim,oih->bon", weights, padded, attention.weight.flatten(2))
    expected = (outputs + attention.bias[:, None]).unflatten(2, attention.queries(grid))  # type: ignore[index]
    torch.testing.assert_close(attention(images(*grid).double()), expected, atol=1e-12, rtol=0)


def test_the_convolution_is_not_modified() -> None:
    conv = convolution()
    with torch.no_grad():
        conv_to_attention(conv).weight.zero_()
    assert conv.weight.abs().min() > 0


@pytest.mark.parametrize(
    "others",
    [
        {"kernel": 2},
        {"kernel": (3, 4)},
        {"padding": 0},
        {"padding": "valid"},
        {"padding": (2, 3)},
        {"padding": 1, "stride": 2},
        {"kernel": (2, 5), "padding": (0, 1), "stride": (3, 2)},
        {"dilation": 2},
        {"dilation": (1, 3), "kernel": (4, 2)},
        {"padding": 1, "stride": (2, 1), "dilation": (2, 1)},
        {"padding_mode": "circular"},
        {"padding_mode": "reflect", "kernel": 5},
        {"padding": 2, "padding_mode": "replicate", "stride": 2},
    ],
)
def test_every_option_of_a_convolution_is_supported(others: dict[str, Any]) -> None:
    conv = convolution(**others).double()
    expected = conv(images(7, 9).double())
    torch.testing.assert_close(conv_to_attention(conv)(images(7, 9).double()), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("channels", "out", "groups"), [(4, 6, 2), (6, 6, 6), (3, 9, 3)])
def test_groups_mix_only_their_own_channels(channels: int, out: int, groups: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, out, 3, padding=1, groups=groups).double()
    some = torch.randn(2, channels, 6, 5, generator=torch.Generator().manual_seed(1)).double()
    attention = conv_to_attention(conv)
    torch.testing.assert_close(attention(some), conv(some), atol=1e-12, rtol=0)
    assert attention.weight.shape == conv.weight.shape  # it stays a convolution in groups while it learns


@pytest.mark.parametrize(
    "layer",
    [nn.Conv1d(3, 5, 3), nn.Conv3d(3, 5, 3), nn.ConvTranspose2d(3, 5, 3), nn.Linear(3, 5), Conv2dSame(3, 5, 3)],
)
def test_other_layers_than_2d_convolutions_are_refused(layer: nn.Module) -> None:
    with pytest.raises(UsageError, match=f"only an nn.Conv2d .* not {type(layer).__name__}"):
        conv_to_attention(layer)  # type: ignore[arg-type]


def test_a_layer_on_overlapping_patches_is_a_convolution() -> None:
    """The fully connected layer over a window of neighbours, the same for each place."""
    conv = convolution().double()
    windows = patchify(F.pad(images().double(), (1, 1, 1, 1)), patch=3, stride=1)
    outputs = F.linear(windows.vectors, conv.weight.flatten(1), conv.bias)
    expected = conv(images().double()).flatten(2).transpose(1, 2)
    torch.testing.assert_close(outputs, expected, atol=1e-12, rtol=0)
