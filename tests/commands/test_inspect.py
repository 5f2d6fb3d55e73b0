"""vitrail inspect: a model's card, the patches of an image, and evidence and attention without torch."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.cli import main
from vitrail.data import DigitRows, Digits
from vitrail.images.canvas import InputRule
from vitrail.images.golden import mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import explain_path
from vitrail.plots.attention import mean_distance, rollout
from vitrail.plots.inspection import across


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
    assert (
        "architecture   CNN (width 32, stages 2, blocks 1, drop_path 0.0, downsampling stride, layers convolution)"
        in lines
    )
    assert main(["inspect", str(model_file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ViT of the digits with its explanations, hardly trained."""
    folder = tmp_path_factory.mktemp("inside")
    sizes = {"width": 16, "depth": 2, "heads": 2}
    options = [f"--model.net.init_args.{name}={value}" for name, value in sizes.items()]
    steps = ["--trainer.max_steps=10", "--trainer.val_check_interval=10"]
    checkpoint = folder / "run" / "checkpoints" / "best.ckpt"
    with redirect_stdout(io.StringIO()):
        assert main(["fit", "--config", "digits-vit", f"--run={folder / 'run'}", *options, *steps]) == 0
        assert main(["export", "--checkpoint", str(checkpoint), "--output", f"{folder}/vit.onnx", "--explain"]) == 0
    return folder / "vit.onnx"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "two.png"
    Image.fromarray(Digits().read("test", InputRule(8)).images[0]).save(path)
    return path


def test_one_run_gives_evidence_and_attention(model: Path) -> None:
    explainer = Explainer(Classifier(model, "cpu"), provider="cpu")
    digits = Digits().read("test", InputRule(8)).images[:3]
    internals = explainer.internals(digits)
    np.testing.assert_array_equal(internals.evidence, explainer.evidence(digits))
    assert internals.attention is not None
    assert internals.attention.shape == (3, 2, 2, 16, 16)
    np.testing.assert_allclose(internals.attention.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(rollout(internals.attention[0]).sum(axis=-1), 1, atol=1e-5)
    distances = mean_distance(internals.attention[0], 0, (4, 4))
    assert (distances > 0).all()
    assert (distances < 18**0.5).all()  # from corner to corner


def test_the_page_is_drawn_without_torch(model: Path, image: Path) -> None:
    code = (
        "import sys\n"
        "from vitrail.cli import main\n"
        f"code = main(['inspect', {str(image)!r}, '--model', {str(model)!r}])\n"
        "print(code, [name for name in ('torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=image.parent, capture_output=True, text=True, check=True)
    summary, last = done.stdout.splitlines()
    (best,) = Classifier(model, "cpu").classify(image.read_bytes(), 1)
    assert summary == f"{best.label} {best.probability:.3f}, exact evidence, 2 layers of 2 heads: two.inside.png"
    assert last == "0 []"
    with Image.open(image.parent / "two.inside.png") as drawn:
        assert (drawn.format, drawn.width) == ("PNG", 1440)


def test_without_an_explain_file_patches_are_drawn_and_the_export_option_is_named(
    model_file: Path, image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(image.parent)
    assert main(["inspect", "two.png", "--model", str(model_file), "--size", "8", "--patch", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert str(explain_path(model_file)) in first
    assert "`vitrail export --explain`" in first
    assert second == "16 vectors of 12 numbers, grid 4×4: two.patches.png"


def test_wrong_use_with_a_model_is_one_line(model: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, reason in (
        ([str(image), "--model", "nowhere.onnx"], "there is no model file at nowhere.onnx"),
        ([str(model), "--model", str(model)], "is not an image"),
        ([str(image), "--model", str(model), "--patch", "2"], "leave out --size and --patch"),
        ([str(image), "--model", str(model), "--output", str(image)], "is the image itself"),
    ):
        assert main(["inspect", *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert reason in line


@pytest.mark.long
def test_a_sequence_is_drawn_step_by_step(
    task_folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = task_folder("sequence") / "run/checkpoints/best.ckpt"
    image, output = tmp_path / "row.png", tmp_path / "steps.png"
    Image.fromarray(DigitRows().whole("test", 0)).save(image)
    _ = capsys.readouterr()  # of the run, if it was made here
    assert main(["inspect", str(image), "--model", str(checkpoint), "--output", str(output)]) == 0
    labels, _, rest = capsys.readouterr().out.partition(", ")
    steps = labels.split()
    assert set(steps) <= {*map(str, range(10)), "end"}
    assert "end" not in steps[:-1]
    assert rest == f"attention of {len(steps)} steps: {output}\n"
    with Image.open(output) as drawn:
        assert drawn.width == across(1 + len(steps))
    assert main(["inspect", str(image), "--model", str(checkpoint), "--size", "8"]) == 2
    assert "leave out --size and --patch" in capsys.readouterr().err


def test_steps_are_of_sequences(checkpoint: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(image), "--model", str(checkpoint)]) == 2
    assert "reads no sequences (its task is classification): export it with --explain" in capsys.readouterr().err
