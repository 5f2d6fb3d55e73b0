"""Tests of recipe.yaml: `vitrail fit` makes the same weights with it as the build did; of a probe it says how."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vitrail.cli import main
from vitrail.models.checkpoint import load_checkpoint
from vitrail.training.build import run as run_module
from vitrail.training.build.candidates import Candidate, from_scratch, pretrained
from vitrail.training.build.folder import keep_probe
from vitrail.training.build.plan import BuildPlan
from vitrail.training.build.recipe import command_of, recipe_text
from vitrail.training.build.run import Build
from vitrail.training.build.state import State, Trained
from vitrail.training.build.tuning import Length
from vitrail.training.precision import Execution

from .conftest import CNN, VIT

LENGTH = Length(11, Execution("bf16-mixed", is_channels_last=True), 3)  # validated after steps 3, 6 and 9


def say(line: str) -> None:
    pass


@pytest.fixture
def build(stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.setattr(run_module, "length_of", lambda *args: LENGTH)
    plan = BuildPlan(str(stripes), tmp_path / "a model", weights=tmp_path, offline=True, seed=3)
    return Build(plan, say)


def recipe_of(build: Build, candidate: Candidate) -> tuple[Path, dict[str, Any]]:
    """The recipe for a build whose training was better than its probe."""
    trained = build.state.training_of(candidate.name)
    assert trained is not None
    state = build.state.with_trained(replace(trained, hits=trained.total + 1))
    text = recipe_text(build.plan, candidate, state, build.data_of(candidate).count("train"))
    keep_probe(build.plan.output, state)
    (build.plan.output / "recipe.yaml").write_text(text)
    return build.plan.output / "recipe.yaml", yaml.safe_load(text)


def fitted(recipe: Path) -> dict[str, torch.Tensor]:
    run = recipe.parent / "run"
    assert main(["fit", "--config", str(recipe), f"--run={run}"]) == 0
    return load_checkpoint(run / "checkpoints/best.ckpt")[1]


@pytest.mark.parametrize(("name", "family"), [(VIT, "ViT"), (CNN, "CNN")])
def test_fine_tuning_is_repeated_to_the_bit(build: Build, weights: Path, name: str, family: Any) -> None:
    candidate = pretrained(name, family, str(weights / f"{name}.safetensors"), 40)
    build.probe(candidate)
    build.train(candidate, 60)
    recipe, content = recipe_of(build, candidate)
    assert content["trainer"]["precision"] == "bf16-mixed"
    assert (content["trainer"]["max_steps"], content["trainer"]["val_check_interval"]) == (11, 3)
    assert (content["seed_everything"], content["data"]["seed"], content["data"]["batch_size"]) == (3, 3, 8)
    assert content["model"]["net"]["init_args"]["pretrained"] == str(recipe.with_name("probe.ckpt"))
    assert content["model"].get("freeze_statistics", False) == (family == "CNN")
    there = load_checkpoint(build.workshop.folder / name / "best.ckpt")[1]
    here = fitted(recipe)
    assert all(torch.equal(value, here[key]) for key, value in there.items())
    curve = build.state.trained[-1].curve
    assert [step for step, _ in curve] == validated(recipe) == [3, 6, 9]


def validated(recipe: Path) -> list[int]:
    """The steps after which the run of a recipe was validated."""
    head, *rows = [line.split(",") for line in (recipe.parent / "run/metrics.csv").read_text().splitlines()]
    step, accuracy = head.index("step"), head.index("val_accuracy")
    return [int(row[step]) + 1 for row in rows if row[accuracy]]


def test_training_from_scratch_is_repeated_to_the_bit(build: Build) -> None:
    candidate = next(one for one in from_scratch(12) if one.family == "CNN")
    build.train(candidate, 60)
    recipe, content = recipe_of(build, candidate)
    assert content["trainer"]["gradient_clip_val"] == 1.0
    there = load_checkpoint(build.workshop.folder / candidate.name / "best.ckpt")[1]
    here = fitted(recipe)
    assert all(torch.equal(value, here[key]) for key, value in there.items())
    assert not recipe.with_name("probe.ckpt").exists()


PROBE = Trained("tiny", "ViT", "linear probe", ".build/tiny/probe.ckpt", 9, 10, 1.0, flips=False)
TUNED = Trained("tiny", "ViT", "fine-tuned", ".build/tiny/best.ckpt", 8, 10, 1.0, steps=11, trainer=LENGTH.recipe)
CANDIDATE = Candidate(
    "tiny",
    "ViT",
    "tiny.safetensors",
    {
        "trainer": {"max_steps": 1000},
        "model": {"net": {"class_path": "vitrail.models.ViT", "init_args": {"name": "tiny"}}},
        "data": {
            "path": "images",
            "batch_size": 64,
            "augment": [{"class_path": "vitrail.training.augmentation.HorizontalFlip"}],
        },
    },
)


def text_for(*trained: Trained) -> str:
    return recipe_text(BuildPlan("my images", Path("made")), CANDIDATE, State({}, trained), 100)


def test_the_recipe_of_a_probe_says_how_to_make_it_again() -> None:
    again = (
        "# vitrail build 'my images' --output FOLDER --minutes 30 --seed 0 --duplicates refuse --corrupt refuse\n"
        "# The build above makes best.ckpt again, a linear probe of tiny, which vitrail fit does not make.\n"
        "# vitrail fit --config made/recipe.yaml\n"
    )
    assert text_for(PROBE).startswith(f"{again}# Trains the network from it, which the build did not.\n")
    text = text_for(PROBE, TUNED)
    assert text.startswith(f"{again}# Repeats the training from it, which was no better.\n")
    content = yaml.safe_load(text)
    assert content["model"]["net"]["init_args"]["pretrained"] == "made/best.ckpt"
    assert content["trainer"] == {"devices": 1, **LENGTH.recipe}
    assert content["data"]["augment"] == []


def test_what_is_not_repeated_is_said() -> None:
    better = replace(TUNED, hits=10)
    assert "tiny, fine-tuned, from the linear probe in made/probe.ckpt." in text_for(PROBE, better)
    assert "ended" not in text_for(PROBE, better)
    assert "ended it after step 7;" in text_for(PROBE, replace(better, steps=7))
    assert "went on with another length" in text_for(PROBE, replace(better, is_resumed=True))
    assert "probe" not in text_for(better)


def test_the_command_of_a_build_has_its_options() -> None:
    plan = BuildPlan("set", Path("made"), 5, Path("."), True, 2, "allow", "skip")
    assert command_of(plan) == (
        "vitrail build set --output FOLDER --minutes 5 --seed 2 --duplicates allow --corrupt skip --weights . --offline"
    )
