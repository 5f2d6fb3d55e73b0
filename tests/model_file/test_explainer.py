"""An explain file in memory: written by the command, tied to its model file, and files that are refused."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.errors import ModelError, UsageError
from vitrail.images.canvas import InputRule
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import METADATA_KEY, ExplanationCard, explain_path
from vitrail.model_file.seal import seal


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A model file with its explanations beside it, and what the command printed."""
    path = tmp_path_factory.mktemp("explained") / "model.onnx"
    with redirect_stdout(io.StringIO()) as printed:
        assert main(["export", "--checkpoint", str(checkpoint), "--output", str(path), "--explain"]) == 0
    return path, printed.getvalue()


@pytest.fixture(scope="module")
def written(exported: tuple[Path, str]) -> Path:
    return exported[0]


@pytest.fixture(scope="module")
def explainer(written: Path) -> Explainer:
    return Explainer(Classifier(written, "cpu"))


@pytest.fixture
def digits() -> np.ndarray:
    return Digits().read("test", InputRule(8)).images


@pytest.fixture
def edited(written: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """The explain file with its card changed."""

    def edit(change: Callable[[dict[str, Any]], None]) -> Path:
        content = onnx.load(explain_path(written))
        (entry,) = [entry for entry in content.metadata_props if entry.key == METADATA_KEY]
        card = json.loads(entry.value)
        change(card)
        onnx.helper.set_model_props(content, {METADATA_KEY: json.dumps(card)})
        (tmp_path / "edited.onnx").write_bytes(seal(content.SerializeToString()))
        return tmp_path / "edited.onnx"

    return edit


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("model", "beside"),
    [
        ("model.onnx", "model.explain.onnx"),
        ("runs/a.b/birds-1.2.onnx", "runs/a.b/birds-1.2.explain.onnx"),
        ("model", "model.explain"),
    ],
)
def test_explanations_lie_beside_their_model(model: str, beside: str) -> None:
    assert explain_path(model) == Path(beside)


def test_the_command_writes_it_only_with_its_option(written: Path, model_file: Path) -> None:
    assert sorted(path.name for path in written.parent.iterdir()) == ["model.explain.onnx", "model.onnx"]
    assert [path.name for path in model_file.parent.iterdir()] == ["model.onnx"]


def test_the_command_reports_the_file_that_it_wrote(exported: tuple[Path, str]) -> None:
    path, printed = exported
    last = printed.splitlines()[-1]
    assert last == f"{path.parent}/model.explain.onnx: exact evidence for every class on 4 × 4 cells"


def test_the_file_keeps_its_contract(written: Path) -> None:
    model = onnx.load(explain_path(written))
    (image,) = model.graph.input
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    sides = image.type.tensor_type.shape.dim
    assert [bool(side.dim_param) for side in sides] == [True, True, True, False]
    shapes = {output.name: output.type.tensor_type.shape.dim for output in model.graph.output}
    assert list(shapes) == ["logits", "evidence"]
    assert shapes["evidence"][0].dim_param == shapes["logits"][0].dim_param == sides[0].dim_param
    assert [side.dim_value for side in shapes["evidence"]][1:] == [10, 4, 4]


def test_the_card_names_its_model_and_how_to_read_the_evidence(explainer: Explainer, written: Path) -> None:
    card = explainer.card
    assert card.model_sha256 == hashlib.sha256(written.read_bytes()).hexdigest()
    assert (card.evidence.kind, card.evidence.grid, card.attention) == ("exact", (4, 4), None)
    assert card.evidence.rule.endswith("its mean over all cells is logits[n, k]")
    assert card.parity.images == 60
    assert card.parity.max_logit_error <= 1e-5
    assert card.parity.max_mean_error is not None
    assert card.parity.max_mean_error <= 1e-5
    assert ExplanationCard.from_json(card.to_json()) == card


def test_an_explanation_adds_up_to_the_models_logit(explainer: Explainer, digits: np.ndarray) -> None:
    logits = explainer.classifier.predict(digits[:3]).logits
    for digit, row in zip(digits, logits, strict=False):
        for index in (0, 7):
            explanation = explainer.explain(png(digit), str(index))
            assert (explanation.label, explanation.kind) == (str(index), "exact")
            assert explanation.evidence.shape == (4, 4)
            assert explanation.evidence.mean() == pytest.approx(row[index], abs=1e-4)


def test_images_of_any_size_are_explained_as_the_model_reads_them(explainer: Explainer) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 19, 12, 3), np.uint8)
    logits = explainer.classifier.predict(image).logits
    np.testing.assert_allclose(explainer.evidence(image).mean(axis=(2, 3)), logits, atol=1e-4)


def test_an_unknown_label_lists_the_known_ones(explainer: Explainer, digits: np.ndarray) -> None:
    with pytest.raises(UsageError, match="no label 'ten'; its labels are 0, 1, 2"):
        explainer.explain(png(digits[0]), "ten")


def test_explanations_of_another_model_are_refused(written: Path, model_file: Path) -> None:
    with pytest.raises(ModelError, match="explains a model file other than"):
        Explainer(Classifier(model_file, "cpu"), explain_path(written))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda card: card.update(model_sha256="0" * 64), "explains a model file other than"),
        (lambda card: card.update(format=99), "format 99"),
        (lambda card: card.pop("parity"), "cannot be read"),
        (lambda card: card["evidence"].update(grid=[4]), "cannot be read"),
    ],
)
def test_a_card_that_does_not_fit_stops_the_load(
    written: Path,
    edited: Callable[[Callable[[dict[str, Any]], None]], Path],
    change: Callable[[dict[str, Any]], None],
    reason: str,
) -> None:
    with pytest.raises(ModelError, match=reason):
        Explainer(Classifier(written, "cpu"), edited(change))


def test_files_that_are_no_explanations_are_refused(written: Path, model_file: Path, tmp_path: Path) -> None:
    shutil.copy(written, tmp_path / "main.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    for name, reason in (
        ("nowhere.onnx", "there is no explain file .* `vitrail export --explain` writes it"),
        ("main.onnx", "has no explain card"),
        ("text.onnx", "is not an ONNX file"),
    ):
        with pytest.raises(ModelError, match=reason):
            Explainer(Classifier(written, "cpu"), tmp_path / name)
    with pytest.raises(ModelError, match=r"model\.explain\.onnx"):
        Explainer(Classifier(model_file, "cpu"))


def test_the_example_of_the_documentation_runs(
    written: Path, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanations.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(written.parent)
    Image.fromarray(digits[0]).save("photo.jpg")
    exec(code, {})
    mean, _, logit = capsys.readouterr().out.splitlines()[-1].split()
    assert float(mean) == pytest.approx(float(logit), abs=1e-4)
