"""Random crops: the boxes that torchvision's rule allows, and the pixels inside them."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import RandomResizedCrop

from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.training.crops import RandomCrop, cropped, cropped_maps


def boxes_of(crop: RandomCrop, height: int, width: int, count: int = 4000) -> np.ndarray:
    return crop.boxes(np.tile([height, width], (count, 1)), Draws.of(0, 0, np.arange(count)))


def test_boxes_are_distributed_as_those_of_torchvision() -> None:
    scale, ratio = (0.2, 0.9), (0.6, 1.5)
    ours = boxes_of(RandomCrop(scale, ratio), 300, 400)
    torch.manual_seed(0)
    theirs = np.array([RandomResizedCrop(1, scale, ratio).make_params([torch.empty(3, 300, 400)]) for _ in range(4000)])
    theirs = np.array([[one[key] for key in ("top", "left", "height", "width")] for one in theirs.tolist()])
    for mine, other in zip(ours.T, theirs.T, strict=True):
        mine, other = np.quantile(mine, np.linspace(0.05, 0.95, 19)), np.quantile(other, np.linspace(0.05, 0.95, 19))
        assert np.abs(mine - other).max() < 12  # of 300 or 400 pixels; 3 standard errors of a quantile


def test_boxes_lie_inside_images_of_any_shape() -> None:
    for height, width in [(1, 1), (1, 500), (500, 1), (3, 7), (224, 224)]:
        top, left, down, across = boxes_of(RandomCrop((0.05, 1.0)), height, width, 300).T
        assert (down >= 1).all()
        assert (across >= 1).all()
        assert (top >= 0).all()
        assert (left >= 0).all()
        assert (top + down <= height).all()
        assert (left + across <= width).all()


def test_images_too_long_for_a_ratio_are_cut_in_the_middle() -> None:
    assert boxes_of(RandomCrop((1.0, 1.0)), 30, 300, 2).tolist() == [[0, 130, 30, 40]] * 2
    assert boxes_of(RandomCrop((1.0, 1.0)), 300, 30, 2).tolist() == [[130, 0, 40, 30]] * 2


def test_an_image_has_the_same_box_in_every_batch_and_another_in_every_epoch() -> None:
    crop, sides = RandomCrop(), np.tile([50, 60], (8, 1))
    together = crop.boxes(sides, Draws.of(1, 2, np.arange(8)))
    assert np.array_equal(together[5:6], crop.boxes(sides[:1], Draws.of(1, 2, np.array([5]))))
    assert not np.array_equal(together, crop.boxes(sides, Draws.of(1, 3, np.arange(8))))


def test_a_crop_is_resized_as_pillow_does() -> None:
    image = np.array(Image.effect_noise((90, 70), 60).convert("RGB"))
    image.flags.writeable = False  # as one of the store
    ours = cropped(image, np.array([10, 20, 40, 50]), (16, 16)).permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.fromarray(image[10:50, 20:70]).resize((16, 16), Image.Resampling.BILINEAR))
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    with warnings.catch_warnings(action="error"):
        assert cropped(image, np.array([0, 0, 70, 90]), (70, 70)).shape == (3, 70, 70)


def test_a_map_is_cut_where_its_image_is() -> None:
    labels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    same = cropped_maps(labels, np.array([6, 10]), np.array([1, 2, 4, 4]), 4)
    assert same.tolist() == labels[1:5, 2:6].tolist()
    smaller = cropped_maps(labels, np.array([3, 5]), np.array([1, 1, 2, 4]), 2)
    assert smaller.tolist() == [[labels[3, 4], labels[3, 8]], [labels[5, 4], labels[5, 8]]]
    for sides in ([7, 13], [3, 3], [1, 1]):  # whose box ends where the map does, whatever is rounded
        whole = cropped_maps(labels, np.array(sides), np.array([0, 0, *sides]), 60)
        assert set(whole[:, 0].tolist()) == {*range(0, 60, 10)}
        assert set(whole[0].tolist()) == {*range(10)}


@pytest.mark.parametrize(
    "options", [{"scale": (0, 1)}, {"scale": (0.9, 0.5)}, {"scale": (0.5, 1.5)}, {"ratio": (2, 1)}]
)
def test_impossible_crops_are_refused(options: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(UsageError, match="a crop"):
        RandomCrop(**options)
