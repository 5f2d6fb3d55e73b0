"""vitrail inspect: a model's card for people and programs, and images as panes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.images.golden import mosaic
from vitrail.plots.patches import GAP_COLOUR, draw_patches, panes


def test_panes_are_patches_row_by_row() -> None:
    canvas = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3)
    cut = panes(canvas, 2)
    assert cut.shape == (3, 3, 2, 2, 3)
    assert np.array_equal(cut[1, 2], canvas[2:4, 4:6])


def test_the_drawing_keeps_every_colour_and_puts_gaps_between() -> None:
    drawing = np.array(draw_patches(mosaic(4, 1, 8, 8), 2))
    pane = 2 * (896 // 8)
    gap = pane // 14
    assert drawing.shape == (4 * pane + 5 * gap,) * 2 + (3,)
    assert tuple(drawing[0, 0]) == GAP_COLOUR
    assert tuple(drawing[gap + pane, gap + pane]) == GAP_COLOUR
    assert np.array_equal(drawing[gap + 5, gap + 5], mosaic(4, 1, 8, 8)[0, 0])
    assert np.array_equal(drawing[-gap - 5, -gap - 5], mosaic(4, 1, 8, 8)[7, 7])


@pytest.mark.parametrize("patch", [0, 3, 9])
def test_patches_that_do_not_divide_the_canvas_are_refused(patch: int) -> None:
    with pytest.raises(UsageError, match="do not divide"):
        panes(np.zeros((8, 8, 3), np.uint8), patch)


def test_an_image_is_drawn_as_patches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, output = tmp_path / "photo.png", tmp_path / "patches.png"
    Image.fromarray(mosaic(8, 1, 300, 400)).save(image)
    assert main(["inspect", str(image), "--output", str(output)]) == 0
    assert "196 vectors of 768 numbers, grid 14×14" in capsys.readouterr().out
    assert Image.open(output).format == "PNG"
    assert main(["inspect", str(image), "--output", str(image)]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["patches.png", "photo.png"]


@pytest.mark.parametrize("output", ["no/such/folder/patches.png", "folder"])
def test_an_unwritable_output_is_one_line(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Image.fromarray(mosaic(8, 1, 30, 40)).save("photo.png")
    assert main(["inspect", "photo.png", "--output", output]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{output} cannot be written" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "photo.png"]


@pytest.mark.parametrize("size", ["0", "-8", "100000"])
def test_an_unreasonable_canvas_size_is_refused(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "photo.png"
    Image.fromarray(mosaic(8, 1, 30, 40)).save(image)
    assert main(["inspect", str(image), "--size", size, "--patch", "1"]) == 2
    assert "1 to 4096 pixels" in capsys.readouterr().err


def test_the_default_output_is_named_after_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    Image.fromarray(mosaic(8, 1, 30, 40)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path / "here")
    assert main(["inspect", "../photo.jpg", "--patch", "8", "--size", "32"]) == 0
    assert [path.name for path in Path.cwd().iterdir()] == ["photo.patches.png"]


def test_images_need_no_model_and_refusals_are_one_line(tmp_path: Path) -> None:
    """Pillow's own warnings, of a large image and of an odd EXIF block, are suppressed."""
    good, large = tmp_path / "good.jpg", tmp_path / "large.png"
    Image.fromarray(mosaic(8, 1, 30, 40)).save(good, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    Image.new("1", (10_000, 9_000)).save(large)
    code = (
        "import sys\n"
        "from vitrail.cli import entry\n"
        "codes = []\n"
        f"for path in ({str(good)!r}, {str(large)!r}):\n"
        "    sys.argv = ['vitrail', 'inspect', path]\n"
        "    try:\n        entry()\n"
        "    except SystemExit as end:\n        codes.append(end.code)\n"
        "print(codes, [name for name in ('torch', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 1] []"
    (line,) = done.stderr.splitlines()
    assert line.startswith("vitrail: the image is 10000×9000; at most")


def test_a_model_file_prints_its_card(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model_file)]) == 0
    lines = capsys.readouterr().out
    assert "classes        10: 0, 1, 2, 3, 4, 5, 6, 7 and 2 more" in lines
    assert re.search(r"parity +logits within \S+ of the network's, 0 labels changed, on 359 images", lines)
    assert "architecture   CNN (width 32, stages 2, blocks 1, drop_path 0.0)" in lines
    assert main(["inspect", str(model_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == [str(digit) for digit in range(10)]
