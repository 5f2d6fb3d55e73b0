"""The grid of an image at its own shape, and its patches."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitrail.errors import UsageError
from vitrail.images import fit, to_canvas
from vitrail.images.canvas import InputRule
from vitrail.images.patches import batch_of, grid_within, images_of, inputs_of, patches_of

RULE = InputRule(32, "native", patch=4)


@pytest.fixture
def canvases() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (rows * 4, columns * 4, 3), np.uint8) for rows, columns in ((8, 8), (2, 5), (1, 3))]


@pytest.mark.parametrize(
    ("sides", "grid"),
    [
        ((640, 640), (8, 8)),
        ((16, 16), (8, 8)),
        ((640, 480), (7, 9)),
        ((300, 100), (4, 12)),
        ((100, 300), (12, 4)),
        ((4000, 1), (1, 64)),
        ((1, 4000), (64, 1)),
    ],
)
def test_grids_have_the_shape_of_the_image_and_room_for_no_more(sides: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_within(sides, 64) == grid


def test_no_image_has_more_patches_than_the_square_and_few_have_much_fewer() -> None:
    random = np.random.default_rng(1)
    shares = []
    for _ in range(2000):
        height = int(random.integers(50, 1000))
        width = int(height * np.exp(random.uniform(-np.log(3), np.log(3))))
        rows, columns = grid_within((width, height), 196)
        assert abs(np.log(columns / rows * height / width)) < 0.1
        assert grid_within((height, width), 196) == (columns, rows)
        shares.append(rows * columns / 196)
    assert max(shares) <= 1
    assert np.mean(shares) > 0.93


def test_patches_are_rows_of_pixels_and_come_back(canvases: list[NDArray[np.uint8]]) -> None:
    cut = patches_of(canvases, 4)
    assert cut.patches.shape == (3, 64, 48)
    assert cut.mask.sum(axis=1).tolist() == [64, 10, 3]
    assert cut.positions[1, :10].tolist() == [[row, column] for row in range(2) for column in range(5)]
    assert np.array_equal(cut.patches[1, 7].reshape(4, 4, 3), canvases[1][4:8, 8:12])
    assert not cut.patches[1, 10:].any()
    for image, back in zip(canvases, images_of(cut, 4), strict=True):
        assert np.array_equal(image, back)


def test_a_batch_of_one_shape_is_one_array(canvases: list[NDArray[np.uint8]]) -> None:
    assert batch_of([canvases[1]] * 2).shape == (2, 8, 20, 3)
    several = batch_of(canvases)
    assert several.shape == (3,)
    assert np.array_equal(several[2], canvases[2])
    assert list(inputs_of(several, 4)) == ["patches", "positions", "mask"]
    assert list(inputs_of(canvases[:1], None)) == ["image"]


@pytest.mark.parametrize("shape", [(10, 8, 3), (8, 10, 3), (0, 8, 3)])
def test_images_that_patches_do_not_divide_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="do not divide"):
        patches_of([np.zeros(shape, np.uint8)], 4)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(UsageError, match="no image"):
        patches_of([], 4)


def test_a_canvas_is_the_whole_image_at_its_own_shape() -> None:
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (100, 300, 3), np.uint8))
    canvas = to_canvas(image, RULE)
    assert canvas.shape == (16, 48, 3)
    assert np.array_equal(canvas, np.array(image.resize((48, 16), Image.Resampling.BILINEAR)))
    assert np.array_equal(to_canvas(Image.fromarray(canvas), RULE), canvas)


def test_an_encoded_image_becomes_the_same_canvas() -> None:
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (60, 20, 3), np.uint8))
    file = io.BytesIO()
    image.save(file, "PNG")
    assert np.array_equal(fit(file.getvalue(), RULE), to_canvas(image, RULE))


@pytest.mark.parametrize(
    ("resize", "patch", "message"),
    [
        ("native", None, "needs the side"),
        ("squash", 4, "no other rule"),
        ("native", 0, "from 1 to"),
        ("native", 33, "32"),
    ],
)
def test_rules_without_sense_are_refused(resize: str, patch: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        InputRule(32, resize, patch=patch)  # type: ignore[arg-type]
