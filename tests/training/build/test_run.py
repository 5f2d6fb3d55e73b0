"""Tests of whole builds: a folder comes out that vitrail and timm load, and that says what was measured."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import yaml

import vitrail
from vitrail.errors import DataError, UsageError
from vitrail.model_file.card import Card
from vitrail.models.checkpoint import read_checkpoint
from vitrail.training.build import build
from vitrail.training.build import run as run_module
from vitrail.training.build.plan import BuildPlan
from vitrail.training.build.run import Build, flips_are_harmless
from vitrail.training.build.state import State
from vitrail.training.memory import BatchTooLarge

from .conftest import VIT


@pytest.fixture(scope="module")
def built(stripes: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    lines: list[str] = []
    output = tmp_path_factory.mktemp("built") / "model"
    return build(str(stripes), output, 0.5, weights, offline=True, progress=lines.append), lines


def test_a_model_comes_out_that_knows_its_images(built: tuple[Path, list[str]], stripes: Path) -> None:
    folder, lines = built
    with vitrail.load(folder) as model:
        card: Card = model.card
        assert card.classes == ("across", "down")
        assert card.test_accuracy is not None
        assert card.test_accuracy.value > 0.85
        right = [model.classify(stripes / name / "3.png").label == name for name in card.classes]
    assert all(right)
    assert any("linear probe: validation accuracy" in line for line in lines)
    assert lines[-1].endswith(f"test accuracy {card.test_accuracy}")


def test_timm_loads_the_folder_with_the_same_logits(built: tuple[Path, list[str]]) -> None:
    folder, _ = built
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    ours, origin = read_checkpoint(folder / "best.ckpt")
    pixels = torch.randn(2, 3, origin.input.size, origin.input.size)
    with torch.inference_mode():
        torch.testing.assert_close(network(pixels), ours(pixels))
    config = json.loads((folder / "config.json").read_text())
    assert config["label_names"] == ["across", "down"]
    assert tuple(config["pretrained_cfg"]["mean"]) == origin.input.mean


def test_report_and_model_card_say_what_was_measured(built: tuple[Path, list[str]]) -> None:
    folder, _ = built
    report, card = (folder / "report.html").read_text(), (folder / "README.md").read_text()
    with vitrail.load(folder) as model:
        share = model.card.test_accuracy
    assert share is not None
    for page in (report, card):
        assert f"{100 * share.value:.1f}" in page
        assert VIT in page
    front = yaml.safe_load(card.split("---")[1])
    assert front["model-index"][0]["results"][0]["metrics"][0]["value"] == round(share.value, 4)
    assert yaml.safe_load((folder / "recipe.yaml").read_text())["data"]["size"] == 128
    assert (folder / "model.safetensors").stat().st_mode == (folder / "config.json").stat().st_mode


def test_a_batch_that_does_not_fit_leaves_the_probe(
    stripes: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*args: object) -> None:
        raise BatchTooLarge("a batch of 8 images does not fit into the memory")

    monkeypatch.setattr(run_module, "tune", too_large)
    lines: list[str] = []
    folder = build(str(stripes), tmp_path / "model", 2, weights, offline=True, progress=lines.append)
    assert any("a batch of 8 images does not fit into the memory" in line for line in lines)
    assert "linear probe" in (folder / "README.md").read_text()
    assert (folder / "model.onnx").is_file()


def test_a_finished_folder_is_not_overwritten(built: tuple[Path, list[str]], stripes: Path, weights: Path) -> None:
    folder, _ = built
    before = (folder / "model.onnx").read_bytes()
    with pytest.raises(UsageError, match="holds a finished model"):
        build(str(stripes), folder, 0.5, weights, offline=True)
    assert (folder / "model.onnx").read_bytes() == before


def test_other_tasks_and_faulty_folders_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="makes classifiers"):
        build("digit-scenes-multilabel", tmp_path / "model", offline=True)
    (tmp_path / "images" / "only").mkdir(parents=True)
    with pytest.raises(DataError):
        build(str(tmp_path / "images"), tmp_path / "model", offline=True)
    with pytest.raises(UsageError, match="--minutes is at least"):
        build("digits", tmp_path / "model", minutes=0.1)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("minutes", "exported", "seconds"), [(5, 0.0, 45), (5, 10.0, 30), (5, 20.0, 30), (30, 20.0, 60)]
)
def test_time_for_explanations_is_kept_where_it_is_a_small_share(
    tmp_path: Path, minutes: float, exported: float, seconds: float
) -> None:
    one = Build(BuildPlan("images", tmp_path / "model", minutes), print)
    one.state = replace(one.state, exported="a probe" if exported else "", export_seconds=exported)
    assert one.reserve == pytest.approx(seconds)


def test_flips_are_left_out_where_they_harm() -> None:
    right = torch.ones(100, dtype=torch.bool).numpy()
    flipped = right.copy()
    flipped[:2] = False
    assert flips_are_harmless(right, flipped)
    flipped[:10] = False
    assert not flips_are_harmless(right, flipped)
    assert State({}).exported == ""
