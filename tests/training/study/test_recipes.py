"""Shipped studies: found by name, headed by command, hardware and time, with an expectation."""

from pathlib import Path

import pytest

from vitrail.cli import main
from vitrail.training.recipes import find_recipe, recipes
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.plan import Geometric

NAMES = sorted(recipes("study"))


def test_these_studies_are_shipped() -> None:
    assert set(NAMES) == {"digits", "fashion-mnist", "images", "pretrained", "same-different"}
    assert not set(NAMES) & set(recipes())


@pytest.mark.parametrize("name", NAMES)
def test_every_study_opens_with_command_hardware_and_time(name: str) -> None:
    head = [line for line in Path(find_recipe(name, "study")).read_text().splitlines() if line.startswith("#")]
    assert head[0].startswith(f"# vitrail study --config {name}")
    assert [line.split(":")[0] for line in head[1:3]] == ["# hardware", "# time"]


@pytest.mark.parametrize("name", NAMES)
def test_every_study_is_a_fair_comparison(name: str) -> None:
    plan = parse_study(["--config", name]).plan
    assert plan.name == name
    assert plan.contender("CNN").match == "flops"
    assert len(plan.seeds) >= 3
    assert plan.threads == 1
    assert plan.expected.strip()


def test_networks_with_weights_and_without_are_compared_on_the_same_canvases() -> None:
    plan = parse_study(["--config", "pretrained"]).plan
    nets = [one.model["net"]["init_args"] for one in plan.contenders]
    assert [(net["name"], net["pretrained"]) for net in nets] == [
        ("deit_tiny_patch16_224", True),
        ("mobilenetv2_100", True),
        (None, False),
        (None, False),
    ]
    assert plan.data["size"] == 128


def test_the_size_of_the_digits_study() -> None:
    plan = parse_study(["--config", "digits"]).plan
    assert (plan.sizes, plan.seeds, plan.steps) == (Geometric(60, None, 5), (0, 1, 2), 200)


def test_full_help_shows_all_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--config=digits", "--help=all"]) == 0
    printed = capsys.readouterr().out
    for option in ("--contenders.ViT.net", "--contenders.CNN.match_to", "--data.path", "--rate_factors"):
        assert option in printed


def test_help_lists_the_studies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--help"]) == 0
    assert "recipes: digits, fashion-mnist, images, pretrained" in capsys.readouterr().out
