"""The record of a run's images: contradictions are refused with a number and a name."""

import numpy as np
import pytest

from vitrail.data.contents import Contents
from vitrail.data.record import Record
from vitrail.data.source import PARTS, Part
from vitrail.errors import DataError


def contents(*images: str) -> Contents:
    """`cat:0` is an image with a target; its name is its place and what it shows."""
    pairs = [image.split(":") for image in images]
    keys = np.array([[hash(image), hash(target)] for image, target in pairs], np.int64).reshape(-1, 2)
    return Contents(tuple(f"{place}-{image}" for place, (image, _) in enumerate(pairs)), keys[:, 0], keys[:, 1])


RUN: dict[Part, Contents] = {
    "train": contents("cat:0", "dog:1", "twin:0", "twice:0", "twice:0"),
    "val": contents("hen:0", "cow:1"),
    "test": contents("owl:0", "bee:1", "twin:0"),
}


def refusal(part: Part, *images: str) -> str:
    with pytest.raises(DataError) as refused:
        Record.of(RUN).refuse_contradiction({part: contents(*images)}, "WHY")
    return str(refused.value)


def test_unchanged_parts_are_never_refused() -> None:
    """Even if an image is there twice: within a part, or in two parts."""
    Record.of(RUN).refuse_contradiction(RUN, "")


def test_order_and_names_do_not_matter() -> None:
    shuffled = {part: RUN[part].take(np.arange(len(RUN[part]))[::-1]) for part in PARTS}
    Record.of(RUN).refuse_contradiction(shuffled, "")


def test_trained_and_validated_images_in_the_test_part_are_counted_and_named() -> None:
    message = refusal("test", "owl:0", "twin:0", "bee:1", "hen:0", "cat:0")
    assert message == "2 of 5 test images were trained or validated on by the run (the first: 3-hen): WHY"


def test_a_leak_with_another_target_is_found() -> None:
    assert refusal("test", "owl:0", "twin:0", "bee:1", "cat:1").startswith("1 of 4 test images were trained or")


def test_trained_images_in_the_validation_part_are_counted_and_named() -> None:
    assert refusal("val", "hen:0", "dog:1").startswith(
        "1 of 2 validation images were trained on by the run (the first: 1-dog)"
    )


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (["owl:0", "bee:1", "twin:0", "ant:0"], "1 new or edited (the first: 3-ant)"),
        (["owl:0", "twin:0"], "1 missing"),
        (["owl:0", "ant:1", "twin:0"], "1 new or edited (the first: 1-ant), 1 missing"),
        (["owl:0", "bee:0", "twin:0"], "1 with another target (the first: 1-bee)"),
        (["owl:0", "bee:1", "twin:0", "twin:0"], "1 new or edited (the first: 3-twin)"),
        (
            ["owl:1", "ant:1", "twin:0", "fly:0"],
            "2 new or edited (the first: 1-ant), 1 with another target (the first: 0-owl), 1 missing",
        ),
        ([], "3 missing"),
    ],
)
def test_changes_of_a_part_are_listed(images: list[str], expected: str) -> None:
    assert refusal("test", *images) == f"the test images are not those of this run: {expected}: WHY"


def test_the_test_part_is_checked_first() -> None:
    here = {**RUN, "train": contents("new:0"), "test": contents("cat:0")}
    with pytest.raises(DataError, match="1 of 1 test images were trained"):
        Record.of(RUN).refuse_contradiction(here, "")


def test_parts_that_are_not_read_are_not_compared() -> None:
    Record.of(RUN).refuse_contradiction({"test": RUN["test"]}, "")


def test_what_an_earlier_run_and_a_teachers_have_seen_is_recorded_and_refused_in_the_test_part() -> None:
    start = Record.of({"train": contents("emu:0"), "val": contents("cat:0"), "test": contents("owl:0")})
    teacher = Record.of({"train": contents("gnu:0"), "val": contents("emu:0"), "test": contents("bee:1")})
    both = Record.of(RUN, start, teacher)
    assert both.earlier.tolist() == sorted(hash(image) for image in ("emu", "cat", "gnu"))
    seen = Record.of({"train": contents("owl:0"), "val": contents(), "test": contents()})
    with pytest.raises(
        DataError, match=r"1 of 3 test images .* whose weights this one starts from: choose others, or an"
    ):
        Record.of(RUN, seen, teacher)
    with pytest.raises(DataError, match=r"1 of 3 test images .* which teaches this one: choose another teacher, or an"):
        Record.of(RUN, start, seen)
