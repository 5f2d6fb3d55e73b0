"""Manifests with maps of numbers: read in their own units, moved like their images, never blended; errors are named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import RandomHorizontalFlip, RandomRotation

from vitrail.data import open_source
from vitrail.data.draws import Draws
from vitrail.data.source import DenseSource
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule
from vitrail.training.augmentation import HorizontalFlip, RandAugment
from vitrail.training.augmentation.apply import augmented
from vitrail.training.crops import cropped_maps

from .conftest import Write

PARTS = ["train"] * 4 + ["val", "test"]
LINES = ["path,map:depth,map:height,split", *(f"{i}.png,{i}.tiff,{i}.map.png,{part}" for i, part in enumerate(PARTS))]
DEPTH = np.array([[1.5, 1.5, 1.5, 4, 4, np.nan]] * 4, np.float32)
HEIGHT = np.array([[100, 100, 100, 4000, 4000, 65535]] * 4, np.uint16)


@pytest.fixture
def folder(write: Write) -> Path:
    """Six images 6 × 4 with the depth of each pixel as float, and its height as 16 bits."""
    path = write("manifest.csv", LINES, 6)
    for number in range(6):
        Image.fromarray(DEPTH).save(path / f"{number}.tiff")
        Image.fromarray(HEIGHT).save(path / f"{number}.map.png")
    return path


def test_numbers_are_read_in_their_units(folder: Path) -> None:
    source = open_source(str(folder), 0)
    assert (source.task, source.classes) == ("dense-regression", ("depth", "height"))
    maps = source.read("train", InputRule(6)).labels
    assert maps.shape == (4, 2, 6, 6)
    assert maps.dtype == np.float32
    np.testing.assert_array_equal(maps[0, 0, 0], DEPTH[0])
    np.testing.assert_array_equal(maps[0, 1, 0], [100, 100, 100, 4000, 4000, np.nan])
    assert isinstance(source, DenseSource)
    np.testing.assert_array_equal(source.whole_map("train", 0)[0], DEPTH)


def test_the_bars_of_a_padded_canvas_are_unknown(folder: Path) -> None:
    maps = open_source(str(folder), 0).read("train", InputRule(12, "pad")).labels
    assert np.isnan(maps[:, :, [0, 1, 10, 11]]).all()
    assert not np.isnan(maps[:, :, 2:10, :10]).any()
    assert set(np.unique(maps[:, 0, 2:10, :10])) == {1.5, 4.0}


def test_eight_bits_are_numbers_too(folder: Path) -> None:
    Image.fromarray(np.array([[0, 7, 255] * 2] * 4, np.uint8)).save(folder / "0.map.png")
    maps = open_source(str(folder), 0).read("train", InputRule(6)).labels
    np.testing.assert_array_equal(maps[0, 1, 0], [0, 7, np.nan] * 2)


def test_other_maps_are_other_data(folder: Path) -> None:
    before = open_source(str(folder), 0)
    first, contents = before.fingerprint, before.contents("train").targets
    Image.fromarray(HEIGHT // 2).save(folder / "0.map.png")
    after = open_source(str(folder), 0)
    assert after.fingerprint != first
    assert (after.contents("train").targets != contents).sum() == 1


INFINITE = np.where(DEPTH == 4, np.inf, DEPTH)
DAMAGED = {
    "another size": (np.zeros((4, 5), np.float32), r"line 2: .*0\.tiff is 5×4, its image 6×4"),
    "colours": (np.zeros((4, 6, 3), np.uint8), "has pixels of mode RGB: a map of numbers is grey, of 8 or 16 bits, or"),
    "infinite": (INFINITE, "has an infinite number: an unknown one is NaN"),
}


@pytest.mark.parametrize(("pixels", "reason"), DAMAGED.values(), ids=DAMAGED.keys())
def test_an_invalid_map_is_refused(pixels: np.ndarray, reason: str, folder: Path) -> None:
    Image.fromarray(pixels).save(folder / "0.tiff")
    with pytest.raises(DataError, match=reason):
        open_source(str(folder), 0).read("train", InputRule(6))


def test_missing_maps_and_other_columns_are_refused(folder: Path, write: Write) -> None:
    (folder / "1.tiff").unlink()
    with pytest.raises(DataError, match=r"line 3: there is no map '1\.tiff'"):
        open_source(str(folder), 0)
    lines = ["path,map:depth,weight_of_it", *(f"{i}.png,{i}.tiff,2" for i in range(6))]
    with pytest.raises(DataError, match="or 'map:' and a name for each map of values; beside 'path' it has map:depth"):
        open_source(str(write("manifest.csv", lines, 6)), 0)


def test_crops_cut_all_maps_alike() -> None:
    maps = np.stack([np.arange(60.0).reshape(6, 10), -np.arange(60.0).reshape(6, 10)]).astype(np.float32)
    cut = cropped_maps(maps, np.array([6, 10]), np.array([1, 2, 4, 4]), 4)
    np.testing.assert_array_equal(cut, maps[:, 1:5, 2:6])


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose red is the first value and whose green is the second."""
    images = torch.randint(1, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images, images[:, :2].float() / 4


@pytest.mark.parametrize("transform", [HorizontalFlip(1.0), RandomHorizontalFlip(1.0), RandomRotation((30, 30))])
def test_maps_move_with_their_images(transform: torch.nn.Module) -> None:
    images, maps = batch()
    changed, moved = augmented(images, maps, "dense-regression", [transform], Draws.of(0, 0, np.arange(8)))
    assert not torch.equal(changed, images)
    gaps = changed[:, :2] == 0
    assert torch.equal(moved.isnan(), gaps)
    assert torch.equal(moved[~gaps], changed[:, :2][~gaps].float() / 4)


def test_gaps_of_a_batch_transform_are_unknown() -> None:
    images, maps = batch()
    draws = Draws.of(0, 0, np.arange(8))
    _, moved = augmented(images, maps, "dense-regression", [RandAugment(2, 9)], draws)
    assert moved.isnan().any()
    assert set(moved[~moved.isnan()].tolist()) <= set(maps.flatten().tolist())
