"""Attention as a convolution: the way back is exact for a converted convolution, and its error is the true one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vitrail.attention import MECHANISMS, SelfAttention, fitted
from vitrail.attention.from_convolution import conv_to_attention
from vitrail.attention.to_convolution import attention_to_conv, layer_to_conv
from vitrail.errors import UsageError
from vitrail.vectors.positions import Quadratic

Made = Callable[..., SelfAttention]
Vectors = Callable[..., Tensor]

OPTIONS: list[dict[str, Any]] = [
    {},
    {"bias": False, "padding": "same"},
    {"kernel_size": (2, 4), "padding": "same"},
    {"kernel_size": (2, 5), "padding": (0, 1), "stride": (3, 2)},
    {"dilation": (1, 2), "padding": 2},
    {"kernel_size": 1, "padding": 0, "stride": 2},
    {"groups": 2},
    {"groups": 4, "stride": 2},
    {"padding_mode": "reflect"},
]


def convolution(**others: Any) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(4, 8, **{"kernel_size": 3, "padding": 1, **others}).double()


def images(height: int = 9, width: int = 8) -> Tensor:
    return torch.randn(3, 4, height, width, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("others", OPTIONS, ids=str)
def test_there_and_back_is_the_same_convolution(others: dict[str, Any]) -> None:
    conv = convolution(**others)
    result = attention_to_conv(conv_to_attention(conv), images())
    assert repr(result.convolution) == repr(conv)
    torch.testing.assert_close(result.convolution.weight, conv.weight, atol=1e-15, rtol=0)
    if conv.bias is not None:
        torch.testing.assert_close(result.convolution.bias, conv.bias, atol=0, rtol=0)
    assert result.outside.abs().max() < 1e-15
    assert result.error < 1e-14


def test_the_error_grows_as_sharpness_falls() -> None:
    conv, x = convolution(), images()
    outside, errors = [], []
    for sharpness in (16.0, 8.0, 4.0, 2.0, 1.0, 0.5):
        attention = conv_to_attention(conv, sharpness)
        result = attention_to_conv(attention, x)
        outside.append(result.outside.mean().item())
        errors.append(result.error)
        difference = result.convolution(x) - attention(x)
        assert result.error == pytest.approx((difference.norm() / attention(x).norm()).item())
        # What heads see of other cells of the kernel is kept, so it is nearer than the kernel they started from.
        assert difference.norm() < (conv(x) - attention(x)).norm()
    assert outside == sorted(outside)
    assert errors == sorted(errors)
    assert outside[0] < 1e-6
    assert errors[0] < 1e-6
    assert outside[-1] > 0.3
    assert errors[-1] > 0.1


def test_the_share_outside_is_the_weight_of_all_other_cells() -> None:
    attention = conv_to_attention(convolution(padding=0), sharpness=0.7)
    result = attention_to_conv(attention, images(5, 5))  # 3 × 3 queries of 5 × 5 cells
    weights = attention.weights((5, 5)).unflatten(2, (5, 5)).unflatten(1, (3, 3))
    inside = sum(weights[:, r, c, r : r + 3, c : c + 3].sum(dim=(1, 2)) for r in range(3) for c in range(3)) / 9
    torch.testing.assert_close(result.outside, 1 - inside, atol=1e-14, rtol=0)


def test_a_head_that_moves_takes_its_values_along() -> None:
    conv = convolution()
    attention = conv_to_attention(conv)
    with torch.no_grad():
        attention.positions.centre[0] = torch.tensor([0.0, 0.0])  # from the first cell to the one in the middle
        attention.positions.centre[8] = torch.tensor([2.0, 2.0])  # out of the kernel
    result = attention_to_conv(attention, images())
    kernel, original = result.convolution.weight.flatten(2), conv.weight.flatten(2)
    assert kernel[..., 0].abs().max() < 1e-15
    torch.testing.assert_close(kernel[..., 4], original[..., 0] + original[..., 4], atol=1e-15, rtol=0)
    torch.testing.assert_close(kernel[..., 1:4], original[..., 1:4], atol=1e-15, rtol=0)
    assert result.outside[:8].abs().max() < 1e-15
    # At the lower and right border there is no such cell, and the head sees the last ones of its kernel.
    assert result.outside[8] == pytest.approx(1 - 1 / 9 / 8)
    assert result.error > 0.1


def test_a_layer_with_sharp_quadratic_positions_is_its_kernel() -> None:
    torch.manual_seed(0)
    layer: Any = fitted(MECHANISMS["softmax"], (7, 6), 0, Quadratic)(4, num_heads=9, attn_head_dim=4, qkv_bias=True)
    layer.double().qkv.weight.data[: 2 * 36] = 0
    layer.qkv.bias.data.normal_()
    layer.qkv.bias.data[: 2 * 36] = 0
    with torch.no_grad():
        layer.positions.centre.copy_(torch.cartesian_prod(torch.arange(-1.0, 2), torch.arange(-1.0, 2)))
        layer.positions.sharpness.fill_(46.0)
    vectors = torch.randn(2, 42, 4, generator=torch.Generator().manual_seed(1)).double()
    result = layer_to_conv(layer, vectors)
    of_heads = layer.qkv.weight[72:].unflatten(0, (9, 4)), layer.proj.weight.unflatten(1, (9, 4))
    kernel = torch.stack(
        [out @ of_values for of_values, out in zip(of_heads[0], of_heads[1].unbind(1), strict=True)], 2
    )
    torch.testing.assert_close(result.convolution.weight.flatten(2), kernel, atol=1e-14, rtol=0)
    assert result.outside.abs().max() < 1e-14
    on_grid = vectors.transpose(1, 2).unflatten(2, (7, 6))
    outputs, expected = result.convolution(on_grid), layer(vectors).transpose(1, 2).unflatten(2, (7, 6))
    torch.testing.assert_close(outputs[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-12, rtol=0)
    assert result.error == pytest.approx(((outputs - expected).norm() / expected.norm()).item())
    assert result.error > 0.1  # all of it at the border


def test_a_window_has_no_weight_outside_its_kernel(made: Made, vectors: Vectors) -> None:
    window, x = made("window", reach=1), vectors(30)
    assert layer_to_conv(window, x, kernel=3).outside.abs().max() < 1e-14
    assert layer_to_conv(window, x, kernel=1).outside.min() > 0.5
    one = window.weights(x).diagonal(dim1=2, dim2=3).mean(dim=(0, 2))
    torch.testing.assert_close(layer_to_conv(window, x, kernel=1).outside, 1 - one, atol=1e-14, rtol=0)


def test_global_attention_is_no_convolution(made: Made, vectors: Vectors) -> None:
    result = layer_to_conv(made("softmax"), vectors(30))
    assert result.outside.min() > 0.3
    assert result.error > 0.1


@pytest.mark.parametrize("kernel", [2, 7])
def test_a_kernel_without_a_middle_or_larger_than_the_grid_is_refused(
    kernel: int, made: Made, vectors: Vectors
) -> None:
    with pytest.raises(UsageError, match=f"fits the 5×6 grid: choose an odd one, not {kernel}"):
        layer_to_conv(made("softmax"), vectors(30), kernel)


def test_class_tokens_are_refused(made: Made, vectors: Vectors) -> None:
    with pytest.raises(UsageError, match="a class token has no cell"):
        layer_to_conv(made("softmax", prefix=1), vectors(31))
