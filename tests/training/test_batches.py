"""Training batches: their order, and crops of images with their maps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vitrail.images.canvas import InputRule
from vitrail.tasks.dense.predictions import IGNORED
from vitrail.training import data_module
from vitrail.training.batches import BalancedOrder, Batch, Canvases, SeededOrder
from vitrail.training.crops import RandomCrop
from vitrail.training.data_module import ImageDataModule

COLOURS = {IGNORED: 0, 0: 100, 1: 250}  # a blend of two neighbours is none of them


def test_each_epoch_has_every_image_once() -> None:
    order = SeededOrder(10, seed=0)
    first = list(order)
    order.set_epoch(3)
    assert sorted(first) == list(range(10))
    assert sorted(order) == list(range(30, 40))
    assert [number - 30 for number in order] != first


LABELS = np.repeat([0, 1, 2, 3], [50, 3, 1, 8])


def takes(order: BalancedOrder) -> np.ndarray:
    """Take and image of an epoch's numbers."""
    numbers = np.array(list(order)) - order.epoch * order.takes * order.count
    return np.stack(np.divmod(numbers, order.count))


@pytest.mark.parametrize("epoch", [0, 5])
def test_a_balanced_epoch_has_every_class_and_each_of_its_images_equally_often(epoch: int) -> None:
    order = BalancedOrder(LABELS, seed=1)
    order.set_epoch(epoch)
    rounds, images = takes(order)
    assert len(set(order)) == len(order) == len(LABELS) == 62
    assert sorted(np.bincount(LABELS[images])) == [15, 15, 16, 16]
    for one in range(4):
        often = np.bincount(images, minlength=62)[one == LABELS]
        assert often.max() - often.min() <= 1
    assert (rounds < order.takes).all()
    for image in np.unique(images):
        assert sorted(rounds[images == image]) == list(range((images == image).sum()))


def test_a_balanced_order_follows_from_seed_and_epoch_and_is_shared_by_ranks() -> None:
    whole, again, other = BalancedOrder(LABELS, 1), BalancedOrder(LABELS, 1), BalancedOrder(LABELS, 2)
    assert list(whole) == list(again) != list(other)
    first = takes(whole)
    again.set_epoch(1)
    assert not np.array_equal(first, takes(again))
    ranks = [list(BalancedOrder(LABELS, 1, rank, 3)) for rank in range(3)]
    assert ranks == [list(whole)[rank:60:3] for rank in range(3)]


def test_every_take_of_an_image_has_random_numbers_of_its_own(maps: Path) -> None:
    """Of the same pixels: a batch has the same image, and not the same crop."""
    images = np.arange(62, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    order = BalancedOrder(LABELS, seed=1)
    order.set_epoch(2)
    pixels, targets, indices = Canvases(images, LABELS, InputRule(1), order.takes).__getitems__(list(order))
    assert np.array_equal(pixels[:, 0, 0, 0].numpy(), indices % 62)
    assert np.array_equal(targets.numpy(), LABELS[indices % 62])
    assert len(np.unique(indices)) == 62
    data = ImageDataModule(str(maps), 16, crop=RandomCrop(scale=(0.3, 0.9)), workers=0)
    crops: Any = data._dataset("train", takes=2)
    cut, _, indices = crops.__getitems__([0, 4, 8])
    assert indices.tolist() == [0, 4, 0]
    assert len({image.numpy().tobytes() for image in cut}) == 3


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Images that show their maps: what is ignored, class 0 and class 1, from left to right."""
    for number, (width, height) in enumerate([(90, 60), (60, 90), (16, 16), (40, 300), (64, 64), (30, 50)]):
        classes = np.array([IGNORED, 0, 1])[np.arange(width) * 3 // width].astype(np.uint8)
        classes = np.tile(classes, (height, 1))
        colours = np.select([classes == one for one in COLOURS], list(COLOURS.values())).astype(np.uint8)
        Image.fromarray(colours).convert("RGB").save(tmp_path / f"{number}.png")
        Image.fromarray(classes).save(tmp_path / f"{number}.map.png")
    lines = [f"{i}.png,{i}.map.png,{part}" for i, part in enumerate(["train"] * 4 + ["val", "test"])]
    (tmp_path / "maps.csv").write_text("\n".join(["path,map,split", *lines]))
    (tmp_path / "classes.txt").write_text("ground\nsky\n")
    return tmp_path


def epoch(path: Path, workers: int) -> list[Batch]:
    torch.manual_seed(1)
    crop = RandomCrop(scale=(0.3, 0.9))
    return list(ImageDataModule(str(path), 16, crop=crop, batch_size=2, workers=workers).train_dataloader())


def test_one_box_cuts_an_image_and_its_map(maps: Path) -> None:
    """Large images are kept smaller than their maps."""
    batches = epoch(maps, workers=0)
    images, labels = torch.cat([batch[0] for batch in batches]), torch.cat([batch[1] for batch in batches])
    assert images.shape == (4, 3, 16, 16)
    assert labels.shape == (4, 16, 16)
    assert set(labels.unique().tolist()) == {*COLOURS}
    for one, colour in COLOURS.items():
        inside = images[:, 0] == colour
        assert inside.sum() > 100
        assert (labels[inside] == one).all()


@pytest.mark.usefixtures("roomy_disk")
def test_evaluation_from_the_cache_needs_no_workers(maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "RESIDENT", 0)
    kept = ImageDataModule(str(maps), 16, crop=RandomCrop(), workers=1)
    decoded = ImageDataModule(str(maps), 20, crop=RandomCrop(), cache=0, workers=1)
    assert [kept.train_dataloader().num_workers, kept.val_dataloader().num_workers] == [1, 0]
    assert [decoded.train_dataloader().num_workers, decoded.val_dataloader().num_workers] == [1, 1]


def test_workers_cut_the_same_maps(maps: Path) -> None:
    for here, there in zip(epoch(maps, workers=0), epoch(maps, workers=2), strict=True):
        assert torch.equal(here[0], there[0])
        assert torch.equal(here[1], there[1])
