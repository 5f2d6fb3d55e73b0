"""The decision in one sentence, for each kind of verdict."""

from dataclasses import replace

import pytest

from vitrail.training.study.statistics.crossing import Crossing
from vitrail.training.study.statistics.findings import Contender, Curve, Forecast, Pair, Point, SizeGap
from vitrail.training.study.statistics.images_needed import Needed
from vitrail.training.study.statistics.recommendation import about, sentence

NEED = (Needed(0.9, 700.0, 500.0, 900.0), Needed(0.95, 2345.0, 1600.0, None))


def contender(name: str, error: float, needed: tuple[Needed, ...] = NEED) -> Contender:
    return Contender(
        name,
        (Point(1150, 3, error, error - 0.01, error + 0.01, 0.005, 0.006),),
        None,
        Curve((), (), (), (), needed, None),
        None,
    )


def told(crossing: Crossing, ahead: float = 0.991, vit: Contender | None = None, reason: str | None = None) -> str:
    first = vit or contender("vit", 0.08)
    second = replace(contender("cnn", 0.06), ill_behaved=reason)
    pair = Pair("vit", "cnn", (SizeGap(1150, 0.02, 0.01, 0.03, 0.006, 1 - ahead, 0.02),), (), (), (), (), crossing)
    return sentence(Forecast((60, 1150), 360, 4.0, 2000, (60.0, 4600.0), (first, second), (pair,)))


LEADS = "With 1,150 images take cnn, not vit: 94.0 % right against 92.0 % (more than 99 % sure); "
TAKES = "; 95 % right would take cnn about 1,200 images more (450 to beyond reach)."


@pytest.mark.parametrize(
    ("crossing", "words"),
    [
        (Crossing("between", 1, 412.0, 733.0, 561.0), "cnn overtakes vit between 410 and 730 images, near 560"),
        (Crossing("between", 0, 2412.0, 3333.0), "vit is foretold to overtake cnn between 2,400 and 3,300 images"),
        (
            Crossing("beyond", 1, 1933.0, None, 3012.0),
            "vit overtakes cnn beyond 1,900 images if at all (most likely near 3,000, foretold up to 4,600)",
        ),
        (
            Crossing("beyond", 1, 1933.0),
            "vit overtakes cnn beyond 1,900 images if at all (not foretold up to 4,600)",
        ),
        (Crossing("before", 1, None, 233.0), "cnn is surely ahead from 230 images on, up to 4,600"),
        (Crossing("none", 1), "cnn stays ahead of vit from 60 up to 4,600 images"),
        (Crossing("undecided"), "up to 4,600 images, nobody is foretold to be surely ahead"),
    ],
    ids=lambda given: given.kind if isinstance(given, Crossing) else "",
)
def test_each_kind_of_crossing(crossing: Crossing, words: str) -> None:
    assert told(crossing) == LEADS + words + TAKES


def test_a_refused_curve_is_named_with_its_reason() -> None:
    assert told(Crossing("refused"), reason="it errs more with 500 images") == (
        LEADS + "where they cross cannot be foretold, for cnn has no curve: it errs more with 500 images" + TAKES
    )


def test_who_is_not_surely_ahead_is_not_to_be_taken() -> None:
    assert told(Crossing("none", 1), ahead=0.789).startswith(
        "With 1,150 images neither cnn nor vit is surely ahead: 94.0 % right against 92.0 % "
        "(78 % sure that cnn is better); "
    )


@pytest.mark.parametrize(
    ("need", "words"),
    [
        (
            Needed(0.995, None, 3210.0, None),
            "99.5 % right is not within reach of vit with up to 4,600 images (with luck from 3,200)",
        ),
        (Needed(0.995, None, None, None), "99.5 % right is not within reach of vit with up to 4,600 images"),
        (Needed(0.97, 1100.0, 900.0, 1300.0), "97 % right is about what vit reaches now"),
        (Needed(0.97, 1500.0, 1100.0, 1750.0), "97 % right would take vit about 350 images more (none to 600)"),
    ],
)
def test_what_a_wanted_accuracy_takes(need: Needed, words: str) -> None:
    assert told(Crossing("none", 0), ahead=0.0, vit=contender("vit", 0.04, (need,))).endswith(f"; {words}.")


def test_what_is_reached_is_not_spoken_of() -> None:
    best = contender("vit", 0.04, (Needed(0.9, 60.0, 60.0, 60.0),))
    assert told(Crossing("none", 0), ahead=0.0, vit=best).endswith("up to 4,600 images.")


def test_one_contender_and_none() -> None:
    only = Forecast((60, 1150), 360, 4.0, 2000, (60.0, 4600.0), (contender("vit", 0.08),), ())
    assert sentence(only) == "With 1,150 images vit gets 92.0 % right" + TAKES.replace("cnn", "vit")
    assert "nothing can be said yet" in sentence(replace(only, contenders=()))


@pytest.mark.parametrize(("number", "words"), [(7.4, "7"), (56.0, "56"), (561.0, "560"), (12_345.0, "12,000")])
def test_two_digits_count(number: float, words: str) -> None:
    assert about(number) == words
