"""Shipped studies: each is found by name, says what it is and what is expected of it, and is read in full."""

from pathlib import Path

import pytest

from vitrail.cli import main
from vitrail.training.recipes import find_recipe, recipes
from vitrail.training.study.parsing import read_words
from vitrail.training.study.plan import Geometric

NAMES = sorted(recipes("study"))


def test_these_studies_are_shipped() -> None:
    assert set(NAMES) == {"digits", "fashion-mnist", "images"}
    assert not set(NAMES) & set(recipes())


@pytest.mark.parametrize("name", NAMES)
def test_every_study_opens_with_command_hardware_and_time(name: str) -> None:
    head = [line for line in Path(find_recipe(name, "study")).read_text().splitlines() if line.startswith("#")]
    assert head[0].startswith(f"# vitrail study --config {name}")
    assert [line.split(":")[0] for line in head[1:3]] == ["# hardware", "# time"]


@pytest.mark.parametrize("name", NAMES)
def test_every_study_is_a_fair_one(name: str) -> None:
    plan = read_words(["--config", name]).plan
    assert plan.name == name
    assert plan.contender("CNN").match == "flops"
    assert len(plan.seeds) >= 3
    assert plan.threads == 1
    assert plan.expected.strip()


def test_the_digits_study_is_of_the_promised_size() -> None:
    plan = read_words(["--config", "digits"]).plan
    assert (plan.sizes, plan.seeds, plan.steps) == (Geometric(60, None, 5), (0, 1, 2), 300)


def test_all_options_are_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--config=digits", "--help=all"]) == 0
    printed = capsys.readouterr().out
    for option in ("--contenders.ViT.net", "--contenders.CNN.match_to", "--data.path", "--rate_factors"):
        assert option in printed


def test_help_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--help"]) == 0
    assert "recipes: digits, fashion-mnist, images" in capsys.readouterr().out
