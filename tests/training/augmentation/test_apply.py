"""A batch through a list of transforms; and epochs, which neither batches nor processes change."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import Compose, RandomHorizontalFlip, RandomResizedCrop, RandomRotation

from vitrail.data.draws import Draws
from vitrail.training.augmentation import Erasing, HorizontalFlip, RandAugment, Shift, augmented
from vitrail.training.data_module import ImageDataModule

from .images import draws, images, maps

MIXED: list[nn.Module] = [
    HorizontalFlip(),
    RandomRotation(30),
    Compose([RandomResizedCrop((20, 20), antialias=True), RandomHorizontalFlip()]),
    RandAugment(),
    Erasing(),
]


def test_transforms_apply_in_turn_each_with_numbers_of_its_own() -> None:
    batch, targets = images(), torch.arange(16)
    twice, same = augmented(batch, targets, "classification", [Shift(2), Shift(2)], draws())
    once = Shift(2)(batch, None, draws().fork(0).fork(0))[0]
    assert torch.equal(twice, Shift(2)(once, None, draws().fork(0).fork(1))[0])
    assert same is targets


@pytest.mark.parametrize("task", ["classification", "dense"])
def test_transforms_of_torchvision_are_seeded_for_each_image(task: str) -> None:
    batch, targets = images(), maps() if task == "dense" else torch.arange(16)
    state = torch.get_rng_state()
    whole = augmented(batch, targets, task, MIXED, draws())  # type: ignore[arg-type]
    torch.rand(7)
    for rows in ([3], [12, 5, 4]):
        part = augmented(batch[rows], targets[rows], task, MIXED, Draws(draws().keys[rows]))  # type: ignore[arg-type]
        assert torch.equal(part[0], whole[0][rows])
        assert torch.equal(part[1], whole[1][rows])
    torch.set_rng_state(state)
    again = augmented(batch, targets, task, MIXED, draws())  # type: ignore[arg-type]
    assert torch.equal(again[0], whole[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert whole[0].shape == (16, 3, 20, 20)


class Trainer:
    """The attributes of a trainer that training batches need."""

    training = True

    def __init__(self, epoch: int, rank: int, ranks: int) -> None:
        self.current_epoch, self.global_rank, self.world_size = epoch, rank, ranks


def epoch_of(batch_size: int, ranks: int = 1, epoch: int = 0) -> dict[int, bytes]:
    """The augmented training images of an epoch, by index."""
    out: dict[int, bytes] = {}
    for rank in range(ranks):
        data = ImageDataModule(size=16, images=150, batch_size=batch_size, augment=MIXED)
        data.trainer = Trainer(epoch, rank, ranks)  # type: ignore[assignment]
        for batch in data.train_dataloader():
            changed, _, indices = data.on_after_batch_transfer(batch, 0)
            out.update(zip(indices.tolist(), (image.numpy().tobytes() for image in changed), strict=True))
    return out


def test_images_of_an_epoch_depend_on_neither_batch_size_nor_ranks() -> None:
    torch.manual_seed(5)
    one = epoch_of(batch_size=120)
    for batch_size, ranks in ((7, 1), (24, 2), (15, 3)):
        other = epoch_of(batch_size, ranks)
        shared = one.keys() & other.keys()
        assert len(shared) > 80
        assert all(one[index] == other[index] for index in shared)
    next_epoch = epoch_of(batch_size=120, epoch=1)
    assert np.mean([one[index] != next_epoch[index] for index in one]) > 0.99


def test_the_seed_of_the_run_decides() -> None:
    torch.manual_seed(5)
    one = epoch_of(batch_size=120)
    torch.manual_seed(6)
    other = epoch_of(batch_size=120)
    assert np.mean([one[index] != other[index] for index in one.keys() & other.keys()]) > 0.99
