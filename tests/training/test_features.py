"""Tests of the features of a frozen network: the same in channels last, and the network itself stays as it is."""

from typing import Any

import pytest
import torch

from vitrail.images.canvas import InputRule
from vitrail.models import CNN
from vitrail.models.input import Input
from vitrail.training import features
from vitrail.training.features import FrozenNetwork
from vitrail.training.precision import PLAIN, Execution


def test_features_are_computed_in_the_fastest_memory_format(monkeypatch: pytest.MonkeyPatch) -> None:
    last = Execution(is_channels_last=True)
    monkeypatch.setattr(features, "measure", lambda *args: {PLAIN: 0.5, last: 0.2})
    network: Any = CNN(width=8, stages=2).build(3, 16).eval()
    images = torch.randint(256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    to_pixels = Input(InputRule(16))
    frozen = FrozenNetwork(network, to_pixels, "cpu")
    found = frozen.of_batch(images)
    assert frozen.execution == last
    assert any(not one.is_contiguous() for one in frozen.network.parameters())
    assert all(one.is_contiguous() for one in network.parameters())
    with torch.inference_mode():
        pixels = to_pixels.normalised(images)
        expected = network.forward_head(network.forward_features(pixels), pre_logits=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_given_execution_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "measure", lambda *args: pytest.fail("measured"))
    network: Any = CNN(width=8, stages=2).build(3, 16).eval()
    images = torch.randint(256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    to_pixels = Input(InputRule(16))
    found = FrozenNetwork(network, to_pixels, "cpu", PLAIN).of_batch(images)
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(to_pixels.normalised(images)), pre_logits=True)
    torch.testing.assert_close(found, expected)
