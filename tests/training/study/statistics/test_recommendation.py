"""The recommendation, for each kind of result."""

from dataclasses import replace

import pytest

from vitrail.training.study.statistics.crossing import Crossing
from vitrail.training.study.statistics.findings import Contender, Curve, Forecast, Pair, Point, SizeGap
from vitrail.training.study.statistics.images_needed import ImagesNeeded
from vitrail.training.study.statistics.next_measurement import NextMeasurement
from vitrail.training.study.statistics.recommendation import about, recommendation

NEED = (ImagesNeeded(0.9, 700.0, 500.0, 900.0), ImagesNeeded(0.95, 2345.0, 1600.0, None))


def contender(name: str, error: float, images_needed: tuple[ImagesNeeded, ...] = NEED) -> Contender:
    return Contender(
        name,
        (Point(1150, 3, 0, error, error - 0.01, error + 0.01, 0.005, 0.006),),
        None,
        None,
        Curve((), (error, error), (), (), images_needed, None),
        None,
    )


def text_of(crossing: Crossing, ahead: float = 0.991, vit: Contender | None = None, reason: str | None = None) -> str:
    return recommendation(forecast_of(crossing, ahead, vit, reason))


def forecast_of(
    crossing: Crossing, ahead: float = 0.991, vit: Contender | None = None, reason: str | None = None
) -> Forecast:
    first = vit or contender("vit", 0.08)
    second = replace(contender("cnn", 0.06), ill_behaved=reason)
    pair = Pair(
        "vit", "cnn", (SizeGap(1150, 0.02, 0.01, 0.03, 0.006, 1 - ahead, 0.02),), (0.0, 0.0), (), (), (), crossing
    )
    return Forecast((60, 1150), 360, 0.02, 2000, (60.0, 4600.0), (first, second), (pair,))


LEADS = "With 1,150 images, take cnn, not vit: 94.0 % accuracy against 92.0 % (more than 99 % sure); "
TAKES = (
    "; 95 % accuracy takes cnn about 1,200 images more (450 to more than can be told), if its curve goes on as it does."
)


@pytest.mark.parametrize(
    ("crossing", "part"),
    [
        (Crossing("between", 1, 412.0, 733.0, 561.0), "cnn overtakes vit between 410 and 730 images, near 560"),
        (
            Crossing("between", 0, 2412.0, 3333.0),
            "vit overtakes cnn between 2,400 and 3,300 images, if the curves go on as they do",
        ),
        (
            Crossing("beyond", 1, 1933.0, None, 3012.0),
            "vit overtakes cnn beyond 1,900 images if at all, most likely near 3,000 if the curves go on as they do",
        ),
        (Crossing("beyond", 1, 1933.0), "vit overtakes cnn beyond 1,900 images if at all"),
        (
            Crossing("before", 1, None, 233.0),
            "cnn is clearly ahead from 230 to 1,150 images, and up to 4,600 if the curves go on as they do",
        ),
        (
            Crossing("before", 1, None, 2333.0),
            "cnn is clearly ahead from 2,300 images on if the curves go on as they do",
        ),
        (
            Crossing("none", 1),
            "cnn is ahead of vit from 60 to 1,150 images, and up to 4,600 if the curves go on as they do",
        ),
        (
            Crossing("undecided"),
            "neither is clearly ahead at any size up to 1,150 images, nor up to 4,600 if the curves go on as they do",
        ),
    ],
    ids=lambda given: given.kind if isinstance(given, Crossing) else "",
)
def test_each_kind_of_crossing(crossing: Crossing, part: str) -> None:
    assert text_of(crossing) == LEADS + part + TAKES


def test_a_refused_curve_has_its_reason() -> None:
    assert text_of(Crossing("refused"), reason="its error rises") == (
        LEADS + "nothing can be said of where they cross, as cnn has no curve: its error rises" + TAKES
    )


def measured_at(name: str, error: float, limited: dict[int, bool]) -> Contender:
    """A contender with these sizes, of which some were limited by budget."""
    one = contender(name, error)
    return replace(
        one, points=tuple(replace(one.points[0], images=size, limited=each) for size, each in limited.items())
    )


@pytest.mark.parametrize(
    ("vit", "cnn", "part"),
    [
        ((False, False), (False, False), ""),
        ((True, False), (False, False), ": limited by budget is vit with 60 images;"),
        ((True, True), (True, False), ": limited by budget is cnn with 60 images and vit at every size;"),
        ((True, True), (True, True), ": limited by budget are all;"),
    ],
    ids=["none", "one", "a whole contender", "all"],
)
def test_cells_that_were_too_short_are_named(vit: tuple[bool, bool], cnn: tuple[bool, bool], part: str) -> None:
    sizes = (60, 1150)
    forecast = replace(
        forecast_of(Crossing("none", 1)),
        contenders=(
            measured_at("vit", 0.08, dict(zip(sizes, vit, strict=True))),
            measured_at("cnn", 0.06, dict(zip(sizes, cnn, strict=True))),
        ),
    )
    text = recommendation(forecast)
    assert (f" – longer runs may change this{part}" in text) if part else "longer runs" not in text


def test_one_reason_for_both_curves_is_said_once() -> None:
    forecast = forecast_of(Crossing("refused"))
    both = tuple(replace(one, ill_behaved="too few sizes", refused="too few sizes") for one in forecast.contenders)
    text = recommendation(replace(forecast, contenders=both))
    assert "nothing can be said of where they cross, as neither has a curve: too few sizes" in text
    assert text.count("too few sizes") == 1


def test_a_contender_that_is_not_clearly_ahead_is_not_recommended() -> None:
    assert text_of(Crossing("none", 1), ahead=0.789).startswith(
        "With 1,150 images, neither cnn nor vit is clearly ahead: 94.0 % accuracy against 92.0 % "
        "(78 % sure that cnn is better); "
    )


@pytest.mark.parametrize(
    ("missing", "part"),
    [
        (
            NextMeasurement("seeds", "cnn", "vit", 1150, 1, 360, 0.579),
            "1 more seed of each at 1,150 images would settle it if the gap stays as it is (a chance of 57 %)",
        ),
        (
            NextMeasurement("test images", "cnn", "vit", 1150, 0, 1234, 0.61),
            "more seeds would not settle it, as the test images scatter too much: 1,200 test images would settle it if "
            "the gap stays as it is (a chance of 61 %)",
        ),
        (
            NextMeasurement("both", "cnn", "vit", 1150, 4, 840, 0.6),
            "4 more seeds of each at 1,150 images and 840 test images would settle it if the gap stays as it is "
            "(a chance of 60 %)",
        ),
        (
            NextMeasurement("shocks", "cnn", "vit", 1150, 20, 7200, None),
            "neither more seeds nor more test images would settle it: what all runs of a size share, such as the "
            "images chosen and the learning rate, scatters too much",
        ),
        (
            NextMeasurement("close", "cnn", "vit", 1150, 20, 7200, None),
            "they are too close for 20 more seeds of each at 1,150 images and 7,200 test images to settle it",
        ),
    ],
    ids=lambda given: given.kind if isinstance(given, NextMeasurement) else "",
)
def test_what_would_settle_it_follows_what_is_open(missing: NextMeasurement, part: str) -> None:
    text = recommendation(replace(forecast_of(Crossing("none", 1), ahead=0.789), next_measurement=missing))
    assert text.split("; ")[1] == part


def test_the_price_follows_the_target() -> None:
    text = recommendation(forecast_of(Crossing("none", 1)), price="1,000 more images ≈ 50 €: what cnn gains is open")
    assert text.endswith(TAKES[:-1] + "; 1,000 more images ≈ 50 €: what cnn gains is open.")


@pytest.mark.parametrize(
    ("need", "part"),
    [
        (
            ImagesNeeded(0.995, None, 3210.0, None),
            "99.5 % accuracy takes vit more than 4,600 images, at best 3,200, if its curve goes on as it does",
        ),
        (
            ImagesNeeded(0.995, None, None, None),
            "99.5 % accuracy takes vit more than 4,600 images, if its curve goes on as it does",
        ),
        (ImagesNeeded(0.97, 1100.0, 900.0, 1300.0), "97 % accuracy is about what vit reaches now"),
        (
            ImagesNeeded(0.97, 1500.0, 1100.0, 1750.0),
            "97 % accuracy takes vit about 350 images more (none to 600), if its curve goes on as it does",
        ),
    ],
)
def test_images_for_a_target_accuracy(need: ImagesNeeded, part: str) -> None:
    assert text_of(Crossing("none", 0), ahead=0.0, vit=contender("vit", 0.04, (need,))).endswith(f"; {part}.")


def test_reached_targets_are_left_out() -> None:
    best = contender("vit", 0.04, (ImagesNeeded(0.9, 60.0, 60.0, 60.0),))
    assert text_of(Crossing("none", 0), ahead=0.0, vit=best).endswith("up to 4,600 if the curves go on as they do.")


def test_a_refused_forecast_says_why_and_needs_no_more_images() -> None:
    best = replace(contender("vit", 0.04), refused="it was off")
    assert text_of(Crossing("none", 0), ahead=0.0, vit=best).endswith("as they do; vit has no forecast: it was off.")


def test_one_contender_and_none() -> None:
    only = Forecast((60, 1150), 360, 0.02, 2000, (60.0, 4600.0), (contender("vit", 0.08),), ())
    assert recommendation(only) == "With 1,150 images, vit has 92.0 % accuracy" + TAKES.replace("cnn", "vit")
    assert "there is no result yet" in recommendation(replace(only, contenders=()))


@pytest.mark.parametrize(("number", "text"), [(7.4, "7"), (56.0, "56"), (561.0, "560"), (12_345.0, "12,000")])
def test_about_has_two_significant_digits(number: float, text: str) -> None:
    assert about(number) == text
