"""Training on boxes: whom a query is matched with, the loss of a case by its definition, and auxiliary losses."""

from typing import Any

import numpy as np
import pytest
import torch

from vitrail.errors import UsageError
from vitrail.models import CNN, ViT
from vitrail.tasks.detection.predictions import NO_BOX
from vitrail.tasks.detection.training import DetectionTraining, box_losses, matches

LEFT, RIGHT = [0.0, 0.0, 0.4, 0.4], [0.5, 0.0, 0.9, 0.4]
EMPTY = [float(NO_BOX)] * 5
TARGET = torch.tensor([[[0.0, *LEFT], [1.0, *RIGHT]], [[1.0, *LEFT], EMPTY], [EMPTY, EMPTY]])
BOXES = torch.tensor([[RIGHT, LEFT, LEFT], [LEFT, RIGHT, RIGHT], [LEFT, LEFT, RIGHT]])
SHARES = torch.tensor([0.2, 0.3, 0.5]).expand(3, 3, 3)


def network(**options: int) -> Any:
    torch.manual_seed(0)
    vit = ViT(patch=4, width=16, depth=1, heads=2, head={"name": "boxes", "queries": 4, "layers": 2, **options})
    return vit.build(2, 16, "detection").eval()


def test_queries_are_matched_with_the_boxes_where_they_are() -> None:
    rows, queries, matched = matches(SHARES.log(), BOXES, TARGET)
    found = set(zip(rows.tolist(), queries.tolist(), matched.tolist(), strict=True))
    assert (0, 0, 1) in found
    assert (0, 1, 0) in found or (0, 2, 0) in found
    assert (1, 0, 0) in found
    assert len(found) == 3


def test_of_two_queries_at_a_box_the_surer_is_matched() -> None:
    shares = SHARES.clone()
    shares[0, 2] = torch.tensor([0.7, 0.1, 0.2])
    rows, queries, matched = matches(shares.log(), BOXES, TARGET)
    assert (0, 2, 0) in zip(rows.tolist(), queries.tolist(), matched.tolist(), strict=True)


def test_the_loss_of_boxes_in_place_is_that_of_their_labels() -> None:
    losses = box_losses(SHARES.log(), BOXES, TARGET, nothing=0.5)
    none, zero, one = -np.log(0.5), -np.log(0.2), -np.log(0.3)
    expected = [(zero + one + 0.5 * none) / 2.5, (one + 0.5 * 2 * none) / 2, none]
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-5)


def test_the_loss_grows_with_the_distance_of_a_box() -> None:
    near, far = BOXES.clone(), BOXES.clone()
    near[1, 0, 2], far[1, 0, 2] = 0.45, 0.6
    exact, closer, further = (box_losses(SHARES.log(), one, TARGET, 0.5) for one in (BOXES, near, far))
    assert exact[1] < closer[1] < further[1]
    assert exact[0] == closer[0]
    distance = 5 * 0.05 + 2 * (1 - 0.4 / 0.45)
    assert float(closer[1] - exact[1]) == pytest.approx(distance, rel=1e-4)


def test_every_layer_has_a_loss() -> None:
    net, training, pixels = network(), DetectionTraining(2, 0.0), torch.randn(3, 3, 16, 16)
    vectors = net.forward_head(net.forward_features(pixels), pre_logits=True)
    layers = net.get_classifier().by_layer(vectors)
    assert len(layers) == 2
    each = [box_losses(logits.log_softmax(-1), boxes, TARGET, 0.2) for logits, boxes in layers]
    torch.testing.assert_close(training.losses(net, pixels, TARGET), each[0] + each[1])
    training.losses(net, pixels, TARGET).sum().backward()
    still = [name for name, weights in net.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert not still


def test_detections_are_corners_and_probabilities() -> None:
    net = network()
    with torch.no_grad():
        outputs = net(torch.randn(3, 3, 16, 16))
    assert outputs.shape == (3, 4, 4 + 3)
    assert (outputs[..., 2:4] > outputs[..., :2]).all()
    torch.testing.assert_close(outputs[..., 4:].sum(dim=-1), torch.ones(3, 4))


def test_validation_counts_images_with_exactly_their_boxes() -> None:
    shares = torch.tensor([[[0, 1, 0], [1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1], [0, 0, 1]], [[0, 0, 1]] * 3])
    outputs = torch.cat([BOXES, shares.float()], dim=-1)
    metrics = DetectionTraining(2, 0.0).validation(network(), outputs, TARGET)
    assert metrics["val_accuracy"] == 1
    assert metrics["val_loss"] < 1e-4
    outputs[2, 0, 4:] = torch.tensor([1.0, 0, 0])
    assert DetectionTraining(2, 0.0).validation(network(), outputs, TARGET)["val_accuracy"] == pytest.approx(2 / 3)


def test_a_row_names_boxes_and_their_corners() -> None:
    prediction = torch.tensor([[*RIGHT, 0.1, 0.8, 0.1], [*LEFT, 0.1, 0.1, 0.8]])
    row = DetectionTraining(2, 0.0).row(prediction, TARGET[0], ("cat", "dog"))
    assert row == ("cat 0.000 0.000 0.400 0.400;dog 0.500 0.000 0.900 0.400", "dog 0.500 0.000 0.900 0.400")


def test_networks_without_boxes_and_too_few_queries_are_refused() -> None:
    training = DetectionTraining(2, 0.0)
    with pytest.raises(UsageError, match=r"predicts no boxes: choose vitrail.models.ViT with the head boxes"):
        training.check(CNN().build(2, 16))
    with pytest.raises(UsageError, match="an image has 2 boxes, and the head 1 queries"):
        training.prepare(network(queries=1), TARGET.numpy())
