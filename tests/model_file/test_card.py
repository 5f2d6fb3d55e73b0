"""The card: JSON round trips, and refusals of anything else."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from vitrail.errors import ModelError, UsageError
from vitrail.images.canvas import InputRule
from vitrail.model_file.card import (
    FORMAT,
    Abstention,
    Calibration,
    Card,
    Dataset,
    Golden,
    InOpenVINO,
    Parity,
    Precision,
    WholeImageParity,
    card_schema,
)
from vitrail.model_file.explanation import explanation_card_schema
from vitrail.model_file.summary import summary
from vitrail.tasks.intervals import Estimate, wilson

CARD = Card(
    classes=("chat", "chien", "oiseau"),
    input=InputRule(32, "crop", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
    architecture={"class_path": "vitrail.models.ViT", "init_args": {"patch": 4}},
    parameters=12,
    flops=34,
    dataset=Dataset("animaux", "ab" * 32, 60, 20, 20, 0),
    seed=7,
    test_accuracy=wilson(18, 20),
    parity=Parity(20, 1e-6, 1e-7, 2.0, 0, 1e-5),
    whole=WholeImageParity(20, 1, 0.01),
    calibration=Calibration(1.5, 20, 0.08, 0.03),
    abstention=Abstention(0.4, wilson(19, 20), wilson(18, 19)),
    precision="int8",
    precisions=(Precision("int8", 1234, wilson(18, 20), 0.05, 0.2, 1e-6, {"1": 1.5, "8": 1.75}, "kept"),),
    averaged_weights=False,
    golden=Golden("mosaic-1", ((0.5, -1.25, 3.0),), (2.5,), {"CPUExecutionProvider": 1e-4}),
    versions={"torch": "2.15.0"},
    created="2026-01-01T00:00:00+00:00",
    task="classification",
    openvino=InOpenVINO(
        version="2026.4.1",
        processor="a CPU",
        accuracy=wilson(18, 20),
        loss=0.0,
        loss_bound=0.1,
        flips=0,
        flip_margin=0.0,
        probability_difference=0.01,
        speed={"1": 1.5, "8": 1.75},
        bounds={"loss": 0.005, "flips": 0.01, "flip_margin": 0.02},
        verdict="sound",
    ),
)

OPTIONAL = {"measures", "units", "openvino"}
VALUES = replace(
    CARD,
    task="regression",
    test_accuracy=None,
    calibration=None,
    abstention=None,
    measures=(Estimate("MAE of height", 0.5, 0.4, 0.6),),
    units=(1.5, 2.5, 3.5),
    whole=WholeImageParity(20, 0, None, 0.02),
    openvino=None,
)
DOCS = Path(__file__).parents[2] / "docs"


def test_a_card_round_trips() -> None:
    assert Card.from_json(CARD.to_json()) == CARD


def test_its_text_says_how_the_file_does_in_openvino() -> None:
    (line,) = (line for line in summary(CARD).splitlines() if line.startswith("OpenVINO bf16"))
    assert "1.50× at batch 1, 1.75× at batch 8 (times onnxruntime), accuracy 0.9" in line
    assert line.endswith("0 labels flip, loss 0.00 points, under 10.00: sound")
    assert "OpenVINO" not in summary(replace(CARD, openvino=None))


def test_the_json_has_the_names_that_other_programs_read() -> None:
    plain = json.loads(CARD.to_json())
    assert plain["classes"] == ["chat", "chien", "oiseau"]
    colours = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    assert plain["input"] == {"size": 32, "resize": "crop", **colours, "patch": None, "width": None, "edges": 0}
    assert plain["test_accuracy"]["hits"] == 18
    assert plain["golden"]["logits"] == [[0.5, -1.25, 3.0]]
    assert (plain["task"], plain["format"]) == ("classification", FORMAT)


def test_members_with_a_default_may_be_absent() -> None:
    plain = {name: part for name, part in json.loads(CARD.to_json()).items() if name not in OPTIONAL}
    del plain["whole"]["max_value_difference"]
    assert Card.from_json(json.dumps(plain)) == replace(CARD, openvino=None)


def test_unknown_members_are_ignored() -> None:
    plain = json.loads(CARD.to_json())
    plain["licence"] = "CC0"
    plain["dataset"]["country"] = {"code": "fr"}
    plain["precisions"][0]["machine"] = 7
    assert Card.from_json(json.dumps(plain)) == CARD


def test_a_card_of_regression_round_trips_without_parts_for_labels() -> None:
    assert Card.from_json(VALUES.to_json()) == VALUES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card["dataset"].update(train="many"), "dataset.train is not a JSON integer"),
        (lambda card: card["dataset"].update(train=True), "dataset.train is not a JSON integer"),
        (lambda card: card["dataset"].pop("seed"), "dataset.seed is missing"),
        (lambda card: card.update(classes="chat"), "classes is not an array"),
        (lambda card: card.update(golden=None), "golden is not an object"),
        (lambda card: card["golden"]["logits"][0].append("3"), r"golden.logits\[0\]\[3\] is not a JSON number"),
        (lambda card: card["input"]["mean"].pop(), "input.mean has 2 items, not 3"),
        (lambda card: card["test_accuracy"].pop("low"), "test_accuracy.low is missing"),
    ],
)
def test_a_wrong_member_is_named(change: Callable[[Any], object], message: str) -> None:
    plain = json.loads(CARD.to_json())
    change(plain)
    with pytest.raises(ModelError, match=f"cannot be read .{message}.: export the model again"):
        Card.from_json(json.dumps(plain))


def test_a_card_of_an_unknown_task_is_refused() -> None:
    with pytest.raises(ModelError, match="task is 'boxes', which this vitrail does not know"):
        Card.from_json(CARD.to_json().replace('"classification"', '"boxes"'))


def test_a_card_of_another_format_is_refused() -> None:
    with pytest.raises(ModelError, match=r"format 2.*reads format 1"):
        Card.from_json(CARD.to_json().replace('"format": 1', '"format": 2'))


@pytest.mark.parametrize("part", [part for part in json.loads(CARD.to_json()) if part not in OPTIONAL])
def test_a_missing_part_is_refused(part: str) -> None:
    plain = json.loads(CARD.to_json())
    del plain[part]
    with pytest.raises(ModelError):
        Card.from_json(json.dumps(plain))


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", "null", "7", '{"format": 1}'])
def test_anything_but_a_card_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        Card.from_json(text)


def test_impossible_input_rules_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        InputRule(0)
    with pytest.raises(UsageError, match="squash, crop, pad"):
        InputRule(8, "stretch")  # type: ignore[arg-type]


def test_the_published_schemas_are_those_of_the_cards() -> None:
    assert json.loads((DOCS / "card-1.schema.json").read_text()) == card_schema()
    assert json.loads((DOCS / "explanation-card-1.schema.json").read_text()) == explanation_card_schema()


@pytest.mark.parametrize("card", [CARD, VALUES], ids=["classification", "regression"])
def test_cards_are_valid_by_the_schema(card: Card) -> None:
    Draft202012Validator.check_schema(card_schema())
    Draft202012Validator(card_schema()).validate(json.loads(card.to_json()))


@pytest.mark.parametrize("part", [part for part in json.loads(CARD.to_json()) if part not in OPTIONAL])
def test_the_schema_requires_every_member_that_the_reader_requires(part: str) -> None:
    plain = json.loads(CARD.to_json())
    del plain[part]
    assert not Draft202012Validator(card_schema()).is_valid(plain)
