"""The order of training images."""

from vitrail.training.batches import SeededOrder


def test_each_epoch_has_every_image_once() -> None:
    order = SeededOrder(10, seed=0)
    first = list(order)
    order.set_epoch(3)
    assert sorted(first) == list(range(10))
    assert sorted(order) == list(range(30, 40))
    assert [number - 30 for number in order] != first
