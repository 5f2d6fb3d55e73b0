"""What holds for every transform of whole batches: an image's result is its own, to the last bit."""

import numpy as np
import pytest
import torch

from vitrail.errors import UsageError
from vitrail.training.augmentation import BatchTransform, Erasing, HorizontalFlip, VerticalFlip
from vitrail.training.augmentation.batch_transform import Augmented

from .images import TRANSFORMS, draws, images, maps

every = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)


def equal(one: Augmented, other: Augmented) -> bool:
    assert one[1] is not None
    assert other[1] is not None
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def applied(transform: BatchTransform, rows: list[int], epoch: int = 0) -> Augmented:
    """To these images of 64, as one batch."""
    numbers = type(draws())(draws(64, epoch).keys[rows])
    changed, moved = transform(images(64)[rows], maps(64)[rows], numbers)
    return changed, moved


def taken(batch: Augmented, rows: list[int]) -> Augmented:
    assert batch[1] is not None
    return batch[0][rows], batch[1][rows]


@every
def test_an_image_has_the_same_result_in_every_batch(transform: BatchTransform) -> None:
    whole = applied(transform, list(range(64)))
    for rows in ([5], [63], list(range(20, 36)), np.random.default_rng(0).permutation(64).tolist()):
        assert equal(applied(transform, rows), taken(whole, rows))


@every
def test_the_layout_in_memory_changes_nothing_and_the_input_stays(transform: BatchTransform) -> None:
    batch, labels = images(), maps()
    plain: Augmented = transform(batch, labels, draws())
    channels_last: Augmented = transform(batch.contiguous(memory_format=torch.channels_last), labels, draws())
    assert equal(plain, channels_last)
    assert torch.equal(batch, images())
    assert torch.equal(labels, maps())


@every
def test_images_alone_are_changed_as_with_maps(transform: BatchTransform) -> None:
    alone, nothing = transform(images(), None, draws())
    assert nothing is None
    assert torch.equal(alone, transform(images(), maps(), draws())[0])


@every
def test_an_epoch_changes_most_images_otherwise(transform: BatchTransform) -> None:
    first, second = (applied(transform, list(range(2, 64)), epoch)[0] for epoch in (0, 1))
    assert (first != second).flatten(1).any(dim=1).float().mean() > 0.4
    assert first.dtype == torch.uint8


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_a_probability_is_from_zero_to_one(p: float) -> None:
    for transform in (HorizontalFlip, VerticalFlip, Erasing):
        with pytest.raises(UsageError, match="from 0 to 1"):
            transform(p=p)
