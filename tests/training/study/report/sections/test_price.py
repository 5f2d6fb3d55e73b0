"""The price of more images: labels, time and money are those of runs and forecast; no gain without a forecast."""

import re
from dataclasses import replace

import pytest

from vitrail.plots.formatting import money
from vitrail.training.study.prices import Prices
from vitrail.training.study.report.blocks import Facts
from vitrail.training.study.report.markdown import markdown, paragraph
from vitrail.training.study.report.outline import build_report
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.report.sections.price import expected_seconds, price, price_clause
from vitrail.training.study.statistics.findings import Contender
from vitrail.training.study.statistics.images_needed import ImagesNeeded, NextImages

BOTH = Prices(0.05, 0.4, "$")


def facts(results: StudyResults) -> dict[str, str]:
    section = price(results)
    assert section is not None
    found = section.blocks[0]
    assert isinstance(found, Facts)
    return dict(found.pairs)


def with_gain(results: StudyResults, gain: NextImages | None, refused: str | None = None) -> StudyResults:
    """With this gain of the best contender, ViT, which reaches 95 % with 5,240 images; the other is refused."""

    def changed(one: Contender) -> Contender:
        assert one.curve is not None
        needs = (ImagesNeeded(0.95, 5240.0, 4600.0, None),)
        curve = replace(one.curve, next_images=gain, images_needed=needs)
        return replace(one, curve=curve, refused=refused if one.name == "ViT" else "it was off")

    contenders = tuple(map(changed, results.forecast.contenders))
    return replace(results, forecast=replace(results.forecast, contenders=contenders))


GAIN = NextImages(1000, 0.0123, 0.0041, 0.0212)


def test_everything_has_its_price(results: StudyResults) -> None:
    """30 runs of 1 s and 1 ms an image, 36 trials of 1 s: 105.5 s."""
    assert facts(replace(with_gain(results, GAIN), prices=BOTH)) == {
        "1,000 more images ≈ 50 $": "if the curves go on as they do, + 1.2 points (0.4 to 2.1) for ViT; what CNN gains "
        "cannot be told, as it has no forecast: it was off",
        "The next target": "95 % accuracy takes ViT about 1,200 images more (600 to more than can be told), if its "
        "curve goes on as it does; their labels ≈ 62 $",
        "A training with 5,000 images": "ViT 6.0 s ≈ 0.0007 $, CNN 6.0 s ≈ 0.0007 $",
        "The study so far": "66 runs, 1.8 min ≈ 0.01 $",
    }


def test_the_clause_names_the_best_contender(results: StudyResults) -> None:
    study = with_gain(results, GAIN)
    points = "+ 1.2 points (0.4 to 2.1) for ViT, if its curve goes on as it does"
    training = "a training of ViT with 5,000 images ≈ 0.0007 €"
    assert price_clause(replace(study, prices=Prices(0.05))) == f"1,000 more images ≈ 50 €: {points}"
    assert price_clause(replace(study, prices=Prices(hour=0.4))) == f"{training}: {points}"
    assert (
        price_clause(replace(study, prices=Prices(0.05, 0.4))) == f"1,000 more images ≈ 50 € and {training}: {points}"
    )
    report = build_report(replace(study, prices=Prices(0.05)))
    assert f"; 1,000 more images ≈ 50 €: {points}." in report.decision


@pytest.mark.parametrize(("gain", "refused"), [(None, None), (GAIN, "its error rises")], ids=["beyond", "refused"])
def test_without_a_forecast_no_gain_is_claimed(
    results: StudyResults, gain: NextImages | None, refused: str | None
) -> None:
    study = replace(with_gain(results, gain, refused), prices=Prices(0.05))
    assert price_clause(study) == "1,000 more images ≈ 50 €: what ViT gains cannot be told"
    reason = f", as it has no forecast: {refused}" if refused else ""
    text = facts(study)["1,000 more images ≈ 50 €"]
    assert text.startswith(f"what ViT gains cannot be told{reason}; what CNN gains cannot be told")
    assert not re.search(r"points|if the curve", text)
    assert ("The next target" in facts(study)) == (refused is None)


def test_without_prices_there_are_images_and_times_only(results: StudyResults) -> None:
    assert price_clause(results) == ""
    text = markdown(build_report(results))
    section = text[text.index("## Price") : text.index("## Measurements")]
    assert "≈" not in section
    assert "**The study so far**: 66 runs, 1.8 min" in section
    assert "one worker, without its start. `vitrail study --report FOLDER --label-cost 0.05" in section
    assert "--label-cost" not in markdown(build_report(replace(results, prices=BOTH)))


def test_times_are_on_a_line_that_does_not_fall(results: StudyResults) -> None:
    """The runs of the fixture take 1 s and 1 ms an image."""
    assert expected_seconds(results.reported, "ViT", 8000) == pytest.approx(9.0)
    one_size = tuple(done for done in results.reported if done.job.size == 4000)
    assert expected_seconds(one_size, "ViT", 8000) == pytest.approx(5.0)
    falling = tuple(
        replace(done, timing=replace(done.timing, seconds=10 - done.timing.seconds))
        for done in results.reported
        if done.timing
    )
    mean = 10 - 1 - sum((100, 250, 630, 1600, 4000)) / 5000
    assert expected_seconds(falling, "ViT", 8000) == pytest.approx(mean)


def test_a_study_without_runs_at_its_largest_size_has_no_price(results: StudyResults) -> None:
    none = replace(results, forecast=replace(results.forecast, contenders=()), prices=BOTH)
    assert price(none) is None
    assert price_clause(none) == ""


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 €"), (0.00067, "0.0007 €"), (0.05, "0.05 €"), (2.5, "2.50 €"), (25, "25 €"), (123, "120 €"),
     (49_999, "50,000 €")],
)  # fmt: skip
def test_money_has_no_more_digits_than_it_needs(amount: float, text: str) -> None:
    assert money(amount, "€") == text


def test_code_in_markdown_keeps_the_spaces_around_it() -> None:
    assert paragraph("by `--until-sure` or\n<not>") == r"by `--until-sure` or \<not\>"
