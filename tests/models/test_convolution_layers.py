"""A CNN whose convolutions are attention: the same logits and gradients, weights of a CNN's run, and refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vitrail.attention.from_convolution import ConvolutionAttention
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.models import CNN, Architecture
from vitrail.models.network import count_flops

from .test_warm_start import saved

NETWORKS: list[tuple[CNN, int]] = [
    (CNN(width=8, stages=2, blocks=1), 8),
    (CNN(width=16, stages=3), 15),
    (CNN(width=8, stages=3, blocks=1, downsampling="pool"), 14),
    (CNN(name="resnet10t"), 32),  # a stem of three, and mean pools in its shortcuts
    (CNN(name="convnext_atto"), 32),  # depthwise kernels of 7 × 7, and strides as large as the kernel
]


def awake(network: nn.Module) -> nn.Module:
    """Random statistics and no layer at zero, as after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    for weights in network.parameters():
        if weights.abs().max() < 1e-3:
            nn.init.normal_(weights, std=0.3)
    return network.eval()


def both(architecture: CNN, size: int, **settings: float) -> tuple[Any, Any]:
    """The CNN, and the same with attention."""
    torch.manual_seed(0)
    cnn = awake(architecture.build(5, size))
    attention = replace(architecture, layers={"name": "attention", **settings}).build(5, size).eval()
    attention.load_state_dict(cnn.state_dict(), strict=False)
    return cnn, attention


def pixels(size: int) -> torch.Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("architecture", "size"), NETWORKS, ids=lambda value: getattr(value, "name", None))
def test_logits_are_those_of_the_cnn(architecture: CNN, size: int) -> None:
    """Those of float32 within about 1e-6 of their deviation."""
    cnn, attention = both(architecture, size)
    assert not [module for module in attention.modules() if isinstance(module, nn.Conv2d)]
    with torch.inference_mode():
        difference = (attention(pixels(size)) - cnn(pixels(size))).abs().max()
        assert difference < 1e-5 * cnn(pixels(size)).std()
        x = pixels(size).double()
        torch.testing.assert_close(attention.double()(x), cnn.double()(x), atol=1e-10, rtol=0)


def test_gradients_are_those_of_the_cnn_and_exact_heads_stay() -> None:
    cnn, attention = both(*NETWORKS[0])
    for network in (cnn, attention):
        network.double().train()(pixels(8).double()).square().sum().backward()
    there = dict(cnn.named_parameters())
    for name, weights in attention.named_parameters():
        expected = there[name].grad if name in there else torch.zeros_like(weights)
        torch.testing.assert_close(weights.grad, expected, atol=1e-10, rtol=0)


def test_less_sharp_heads_are_near_the_cnn_and_are_trained() -> None:
    distances = []
    for sharpness in (2.0, 4.0, 8.0):
        cnn, attention = both(*NETWORKS[0], sharpness=sharpness)
        distances.append((attention(pixels(8)) - cnn(pixels(8))).std().item())
    assert distances[0] > 3 * distances[1] > 30 * distances[2] > 0
    _, attention = both(*NETWORKS[0], sharpness=2.0)
    start = {name: one.detach().clone() for name, one in attention.named_parameters()}
    optimizer = torch.optim.SGD(attention.train().parameters(), lr=0.5)
    nn.functional.cross_entropy(attention(pixels(8)), torch.arange(3)).backward()
    optimizer.step()
    assert not [name for name, one in attention.named_parameters() if torch.equal(one, start[name])]


@pytest.mark.parametrize("architecture", [architecture for architecture, _ in NETWORKS[:3]], ids=str)
def test_it_starts_from_the_run_of_a_cnn(architecture: CNN, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, cnn = saved(tmp_path, architecture, 8)
    started: Any = replace(architecture, layers="attention", pretrained=str(path)).build(3, 8).eval()
    torch.testing.assert_close(started.forward_features(pixels(8)), cnn.forward_features(pixels(8)), atol=1e-5, rtol=0)
    assert not caplog.records  # all of it fitted


def test_it_starts_from_a_run_with_attention_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    architecture = CNN(width=8, stages=2, blocks=1, layers={"name": "attention", "sharpness": 3.0})
    path, source = saved(tmp_path, architecture, 8)
    started = replace(architecture, layers="attention", pretrained=str(path)).build(3, 12).eval()
    assert torch.equal(started(pixels(8)), source(pixels(8)))  # its sharpness is the run's
    assert not caplog.records


def test_it_comes_back_from_plain_data() -> None:
    architecture = CNN(layers={"name": "attention", "sharpness": 3})
    assert Architecture.from_plain(architecture.to_plain()) == architecture
    network: Any = CNN(width=8, stages=1, blocks=1, layers="attention").build(5, 8)
    assert isinstance(network.stem[0], ConvolutionAttention)
    assert network.training
    assert network.stem[1].num_batches_tracked == 0


def test_operations_of_a_layer_are_those_of_its_kernel_and_of_nine_heads_on_both_axes() -> None:
    """Of the stem alone: scores of three factors, all rows of the padded image, then all columns, then the kernel."""
    network: Any = CNN(width=8, stages=1, blocks=1, layers="attention").build(5, 8)
    network.stages = nn.Identity()
    scores, rows, columns = 2 * 8 * 10 * 3 * 9, 9 * 8 * 10 * 3 * 10, 9 * 8 * 3 * 10 * 8
    kernel, head = 64 * 9 * 3 * 8, 8 * 5
    assert count_flops(network, InputRule(8)) == 2 * (scores + rows + columns + kernel + head)


def test_what_is_no_plain_convolution_is_refused() -> None:
    with pytest.raises(UsageError, match=r"only an nn\.Conv2d .* not Conv2dSame"):
        CNN(name="tf_efficientnet_b0", layers="attention").build(5, 32)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ("atention", r"no kind of layers 'atention' \(did you mean attention\?\); there is convolution, attention"),
        ({"name": "attention", "sharpness": 0}, "sharpness of the layers attention must be above 0, not 0"),
        ({"name": "attention", "sharpness": float("nan")}, "must be above 0, not nan"),
        ({"name": "attention", "sharpness": float("inf")}, "must be above 0, not inf"),
        ({"name": "convolution", "sharpness": 1}, "convolution has no setting 'sharpness'"),
    ],
)
def test_invalid_layers_are_refused_when_parsed(layers: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        CNN(layers=layers)
