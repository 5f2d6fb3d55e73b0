"""Maps of numbers in training: unknown cells are left out, and the head has the units of the known pixels."""

import numpy as np
import pytest
import torch

from vitrail.errors import DataError
from vitrail.models import ViT
from vitrail.models.network import logits_and_embedding
from vitrail.tasks.dense_regression.training import DenseRegressionTraining


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return ViT(patch=4, width=16, depth=1, heads=2).build(2, 8, "dense-regression")


def test_the_head_has_mean_and_deviation_of_known_pixels() -> None:
    maps = np.random.default_rng(0).normal((5, 1e3), (2, 10), (6, 8, 8, 2)).astype(np.float32)
    maps[0, :4] = np.nan
    net = network()
    DenseRegressionTraining(2, 0.0).prepare(net, np.moveaxis(maps, -1, 1))
    head = net.get_classifier()  # type: ignore[operator]
    np.testing.assert_allclose(head.mean, np.nanmean(maps, axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(head.deviation, np.nanstd(maps, axis=(0, 1, 2)), rtol=1e-4)
    outputs, _ = logits_and_embedding(net.eval(), torch.zeros(1, 3, 8, 8))
    assert outputs.shape == (1, 2, 2, 2)
    assert outputs[..., 1].min() > 900


def test_values_that_nothing_tells_are_refused() -> None:
    maps = np.stack([np.zeros((3, 8, 8)), np.full((3, 8, 8), np.nan)], axis=1)
    with pytest.raises(DataError, match="no training image has a known pixel in its map 2"):
        DenseRegressionTraining(2, 0.0).prepare(network(), maps)


def test_unknown_cells_are_left_out_of_loss_and_metrics() -> None:
    net, task = network(), DenseRegressionTraining(2, 0.0)
    pixels, target = torch.rand(2, 3, 8, 8), torch.rand(2, 2, 8, 8)
    target[1, :, :4] = torch.nan
    known = task.losses(net, pixels, target)
    outputs = net(pixels)
    of_cells = torch.nn.functional.huber_loss(
        outputs, target.unflatten(3, (2, 4)).unflatten(2, (2, 4)).mean((3, 5)).movedim(1, -1), reduction="none"
    )
    expected = torch.cat([of_cells[0].flatten(), of_cells[1, 1].flatten()]).mean()
    torch.testing.assert_close(known.mean(), expected)
    torch.testing.assert_close(task.validation(net, outputs, target)["val_loss"], expected)


def test_a_batch_without_known_cells_has_no_loss() -> None:
    net, task = network(), DenseRegressionTraining(2, 0.0)
    loss = task.loss(net, torch.rand(2, 3, 8, 8), torch.full((2, 2, 8, 8), torch.nan))
    loss.backward()
    assert loss.item() == 0.0
    assert not any(each.grad.any() for each in net.parameters() if each.grad is not None)
