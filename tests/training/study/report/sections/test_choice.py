"""The choice of a study at one size, or of a sweep: its sentence and its table."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitrail.training.study.report.blocks import Table
from vitrail.training.study.report.html import page
from vitrail.training.study.report.outline import build_report
from vitrail.training.study.report.report import write_report
from vitrail.training.study.report.results import StudyResults, read_study
from vitrail.training.study.report.sections.choice import choice, decision, others
from vitrail.training.study.statistics.contrasts import Contrast
from vitrail.training.study.statistics.outcomes import Outcomes

from ..folders import write_study
from ..reading import Reader, numbers, tables_of_markdown

NAMES = ("ViT", "CNN", "Wide")
WORSE = Contrast("W", 0.1, 0.05, 0.15, 0.001, 0.003)
BETTER = Contrast("B", -0.1, -0.15, -0.05, 0.001, 0.003)
CLOSE = Contrast("C", 0.01, -0.012, 0.03, 0.4, 0.4)
UP_TO = "by the intervals up to 3.0 points better or worse"


def outcomes(*errors: float) -> Outcomes:
    """Contenders with these shares of wrong test images, at one size."""
    wrong = np.random.default_rng(0).random((len(errors), 1, 3, 400)) < np.array(errors)[:, None, None, None]
    return Outcomes(NAMES[: len(errors)], (100,), (0, 1, 2), wrong)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("one"), outcomes(0.1, 0.12, 0.5), NAMES)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def one_size(folder: Path) -> StudyResults:
    return read_study(folder)


def with_validation(results: StudyResults, **errors: float) -> StudyResults:
    """With these validation errors in place of the test errors."""
    changed = [
        replace(done, result=replace(done.result, val_error=errors[done.job.contender]))
        for done in results.reported
        if done.result
    ]
    return replace(results, reported=tuple(changed))


def test_a_study_of_one_size_has_a_choice_and_no_curve(folder: Path) -> None:
    text, page = (folder / "report.md").read_text(), Reader((folder / "report.html").read_text())
    assert text.startswith("# synthetic: which of 3?")
    assert (
        text.splitlines()[4]
        == "9 training runs: 100 labelled images, 3 seeds each; 400 test images that no run was trained on."
    )
    for absent in ("curve", "cross", "forecast", "nested", "contained"):
        assert absent not in text.replace("curves.json", "").lower(), absent
    assert not list(folder.glob("learning_curves.*"))
    assert "figure" not in page.elements
    assert tables_of_markdown(text).keys() == page.tables.keys()
    for link in page.links:
        assert link == "data:," or link[1:] in page.identities or (folder / link).is_file()


def test_the_table_has_the_chosen_one_first_and_the_others_behind_it(folder: Path, one_size: StudyResults) -> None:
    head, *rows = tables_of_markdown((folder / "report.md").read_text())["Contenders with 100 images"]
    assert (head[1], head[4]) == ("Verdict", "Behind, points")
    assert [row[0] for row in rows] == ["ViT", "CNN", "Wide"]
    assert [row[1] for row in rows] == ["chosen", "no clear difference", "clearly worse"]
    errors = {one.name: one.points[-1].error for one in one_size.forecast.contenders}
    for name, row in zip(NAMES[1:], rows[1:], strict=True):
        assert numbers(row[4])[0] == pytest.approx(100 * (errors[name] - errors["ViT"]), abs=0.06)
    gap = one_size.forecast.pairs[0].measured[-1]
    assert numbers(rows[1][5])[0] == pytest.approx(gap.significance, abs=0.006)  # of two the larger p stays


def test_programs_read_the_choice(folder: Path) -> None:
    content = json.loads((folder / "curves.json").read_text())["choice"]
    assert content["chosen"] == "ViT"
    assert list(content["validation_errors"]) == ["ViT", "CNN", "Wide"]
    verdicts = {one["name"]: one["verdict"] for one in content["others"]}
    assert verdicts == {"CNN": "no clear difference", "Wide": "clearly worse"}


def test_validation_images_choose_and_not_test_images(one_size: StudyResults) -> None:
    other = with_validation(one_size, ViT=0.2, CNN=0.1, Wide=0.3)
    accuracy = f"{100 * (1 - one_size.forecast.contenders[1].points[-1].error):.1f} %"
    assert decision(other).startswith(f"With 100 images, validation images choose CNN of 3 contenders: {accuracy} (")
    assert choice(other).blocks[-1] == (
        f"The lowest test error is that of ViT, {100 * one_size.forecast.contenders[0].points[-1].error:.1f} %, the "
        "luckiest of 3 contenders: to choose it by this number would take luck for merit."
    )
    assert len(choice(one_size).blocks) == 2  # the chosen one has the lowest


@pytest.mark.parametrize(
    ("compared", "parts"),
    [
        ([], []),
        ([WORSE, WORSE], ["clearly worse: W and W"]),
        ([CLOSE, WORSE], ["clearly worse: W", f"no clear difference to C, {UP_TO}"]),
        ([CLOSE, CLOSE], [f"no clear difference to every other, {UP_TO}"]),
        ([BETTER, WORSE], ["clearly better on test images: B", "clearly worse: W"]),
    ],
)
def test_what_is_known_of_the_others(compared: list[Contrast], parts: list[str]) -> None:
    assert others(compared) == parts


def test_variants_of_another_contender_than_the_chosen_one_are_compared_with_each_other(
    one_size: StudyResults,
) -> None:
    """CNN is chosen, and of the two variants of ViT the first."""
    renamed = dict(zip(NAMES, ("ViT+x=1", "CNN", "ViT+x=2"), strict=True))
    swept = with_validation(with_names(one_size, renamed), **{"ViT+x=1": 0.2, "CNN": 0.1, "ViT+x=2": 0.3})
    error = swept.forecast.contenders[0].points[-1].error
    assert f"; of the 2 variants of ViT they choose ViT+x=1: {100 * (1 - error):.1f} % (" in decision(swept)
    caption, other = (block.caption for block in choice(swept).blocks if isinstance(block, Table))
    assert (caption, other) == ("Contenders with 100 images", "Variants of ViT with 100 images")
    (table,) = (block for block in choice(swept).blocks if isinstance(block, Table) and block.caption == other)
    assert [row.cells[:2] for row in table.rows] == [("ViT+x=1", "chosen"), ("ViT+x=2", "clearly worse")]
    own = with_validation(swept, **{"ViT+x=1": 0.1, "CNN": 0.2, "ViT+x=2": 0.3})
    assert "variants" not in decision(own)


def test_variants_have_names_of_their_own_in_the_figure(results: StudyResults) -> None:
    names = {"ViT": "ViT+patch=2+mixup=0", "CNN": "ViT+patch=2+mixup=0.4"}
    swept = with_names(results, names)
    drawn = page(build_report(swept), swept)
    assert ">…tch=2+mixup=0<" in drawn
    assert ">…h=2+mixup=0.4<" in drawn


def with_names(results: StudyResults, names: dict[str, str]) -> StudyResults:
    """With contenders that have other names."""
    contenders = tuple(replace(one, name=names[one.name]) for one in results.resolved.contenders)
    forecast = replace(
        results.forecast,
        contenders=tuple(replace(one, name=names[one.name]) for one in results.forecast.contenders),
        pairs=tuple(replace(one, first=names[one.first], second=names[one.second]) for one in results.forecast.pairs),
    )
    reported = tuple(
        replace(done, job=replace(done.job, contender=names[done.job.contender])) for done in results.reported
    )
    resolved = replace(results.resolved, contenders=contenders)
    return replace(results, resolved=resolved, forecast=forecast, reported=reported)


def test_a_study_with_curves_has_no_choice_but_a_sweep_has(results: StudyResults) -> None:
    assert "choice" not in {one.name for one in build_report(results).sections}
    swept = with_names(results, {"ViT": "ViT+x=1", "CNN": "ViT+x=2"})
    report = build_report(swept)
    assert [one.name for one in report.sections][:4] == ["choice", "curves", "comparison", "images-needed"]
    assert "validation images choose" in report.decision
