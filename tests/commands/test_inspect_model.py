"""vitrail inspect photo.jpg --model: evidence and attention for an image, from files alone and without torch."""

import io
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.images.canvas import InputRule
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import explain_path
from vitrail.plots.attention import mean_distance, rollout


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


def test_wrong_use_is_one_line(model: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, reason in (
        ([str(image), "--model", "nowhere.onnx"], "there is no model file at nowhere.onnx"),
        ([str(model), "--model", str(model)], "is not an image"),
        ([str(image), "--model", str(model), "--patch", "2"], "leave out --size and --patch"),
        ([str(image), "--model", str(model), "--output", str(image)], "is the image itself"),
    ):
        assert main(["inspect", *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert reason in line
