"""The report shows the numbers of forecast and runs, equal in HTML and Markdown, with hostile names escaped."""

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest

from vitrail.errors import DataError, UsageError
from vitrail.model_file.typed_json import read as typed
from vitrail.training.runs import write_json
from vitrail.training.study.report.html import page
from vitrail.training.study.report.markdown import markdown
from vitrail.training.study.report.outline import build_report
from vitrail.training.study.report.report import curves_json, write_report
from vitrail.training.study.report.results import StudyResults, read_study
from vitrail.training.study.report.sections.images_needed import gain_cell
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.statistics.forecast import forecast
from vitrail.training.study.statistics.images_needed import NextImages
from vitrail.training.study.statistics.next_measurement import NextMeasurement
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.recommendation import about, recommendation
from vitrail.training.study.store import read_run

from .folders import outcomes_of, pair, write_study
from .reading import Reader, numbers, tables_of_markdown

FILES = ("curves.json", "learning_curves.png", "learning_curves.svg", "report.html", "report.md")
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)> | `*[_'


@pytest.fixture(scope="module")
def read(crossing: Path) -> Reader:
    return Reader((crossing / "report.html").read_text())


@pytest.fixture
def copy(crossing: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crossing, tmp_path / "copy"))


def test_it_opens_with_the_decision(read: Reader, crossing: Path, results: StudyResults) -> None:
    decision = recommendation(results.forecast)
    assert read.texts["p"][0] == decision
    assert read.elements.index("p") < read.elements.index("h2")
    assert (crossing / "report.md").read_text().splitlines()[2].replace("\\", "") == f"**{decision}**"


def test_gaps_are_those_of_the_forecast(read: Reader, results: StudyResults) -> None:
    (compared,) = results.forecast.pairs
    rows = read.tables["ViT against CNN"][1:]
    for row, gap in zip(rows, compared.measured, strict=False):
        sign = -1 if gap.gap < 0 else 1
        assert numbers(row[0]) == [gap.images]
        assert row[1] == ("ViT" if gap.gap < 0 else "CNN")
        wanted = [100 * sign * gap.gap, *sorted((100 * sign * gap.low, 100 * sign * gap.high))]
        assert numbers(row[2]) == pytest.approx(wanted, abs=0.0501)
        sure = gap.first_ahead if gap.gap < 0 else 1 - gap.first_ahead
        assert row[3] == "> 99 %" if sure > 0.99 else numbers(row[3])[0] == pytest.approx(100 * sure, abs=1)
        assert numbers(row[4])[0] == pytest.approx(max(gap.significance, 0.001), abs=0.0051)
    forecasts = ["8,000, forecast", "16,000, forecast"]
    end = results.forecast.end_of(compared)
    assert [row[0] for row in rows[len(compared.measured) :]] == forecasts[: 1 if end == 8000 else 2]
    last = rows[-1]
    wanted = [-100 * compared.gap[-1], -100 * compared.high[-1], -100 * compared.low[-1]]
    assert last[1] == "ViT"
    assert numbers(last[2]) == pytest.approx(wanted, abs=0.0501)


def test_images_needed_and_the_back_test_are_those_of_the_forecast(read: Reader, results: StudyResults) -> None:
    rows = {row[0]: row[1:] for row in read.tables["The value of more labelled images"]}
    for place, one in enumerate(results.forecast.contenders):
        assert one.curve is not None
        assert one.back_test is not None
        for need in one.curve.images_needed:
            cell = rows[f"Images for {100 * need.accuracy:g} % accuracy"][place]
            if need.images is None:
                assert cell.startswith(f"not within {about(results.forecast.end_of(one.curve))}")
            else:
                assert numbers(cell)[0] == pytest.approx(need.images, rel=0.06)
        assert one.curve.next_images is not None
        gain = rows["Gain of the next 1,000, points"][place]
        assert numbers(gain)[0] == pytest.approx(100 * one.curve.next_images.gain, abs=0.051)
        off = 100 * one.back_test.off
        assert numbers(rows["Back-test: off by, points"][place])[0] == pytest.approx(off, abs=0.051)
        sentence = f"{one.name} off by {off:.1f} points"
        assert sum(sentence in text for text in [*read.texts["p"], *read.texts["figcaption"]]) >= 3


def test_every_error_links_to_its_runs(read: Reader, crossing: Path, results: StudyResults) -> None:
    own = {row[0]: row for row in read.tables["Every run"][1:]}
    assert len(own) == 30
    for name in own:
        assert f"run-{name}" in read.identities
        assert f"runs/{name}/result.json" in read.links
    for contender in ("ViT", "CNN"):
        for row in read.tables[contender][1:]:
            names = [f"{contender}-{int(numbers(row[0])[0])}-s{seed}" for seed in row[-1].split(", ")]
            assert len(names) == 3
            errors = []
            for name in names:
                wrong = read_run(crossing / "runs" / name).wrong
                assert wrong is not None
                errors.append(100 * wrong.as_array().mean())
                assert numbers(own[name][7]) == pytest.approx([errors[-1]], abs=0.0051)
            assert numbers(row[1])[0] == pytest.approx(np.mean(errors), abs=0.0501)


def test_the_measured_spread_is_beside_the_fitted_one(read: Reader, results: StudyResults) -> None:
    """Measured for each contender and size alone, fitted to all of them."""
    for contender in results.forecast.contenders:
        rows = read.tables[contender.name][1:]
        for row, point in zip(rows, contender.points, strict=True):
            errors = [done.result.test_error for done in results.runs(contender.name, point.images) if done.result]
            assert numbers(row[2]) == pytest.approx([100 * stdev(errors)], abs=0.0051)
            assert point.measured_spread == pytest.approx(stdev(errors))
            assert numbers(row[3]) == pytest.approx([100 * point.seed_spread], abs=0.0051)


def test_one_seed_has_no_measured_spread(copy: Path) -> None:
    for run in (copy / "runs").glob("CNN-250-s[12]"):
        shutil.rmtree(run)
    write_report(copy)
    row = Reader((copy / "report.html").read_text()).tables["CNN"][2]
    assert (row[0], row[2]) == ("250", "–")
    points = json.loads((copy / "curves.json").read_text())["contenders"][1]["points"]
    assert [point["measured_spread"] is None for point in points] == [False, True, False, False, False]


def test_every_link_has_a_target(read: Reader, crossing: Path) -> None:
    for link in read.links:
        if link.startswith("#"):
            assert link[1:] in read.identities
        elif link != "data:,":
            assert (crossing / link).is_file()
    assert len(read.identities) == len(set(read.identities))


def test_rates_and_costs(read: Reader) -> None:
    learning_rates = read.tables["CNN: validation error by learning rate"]
    assert learning_rates[0] == ["Images", "Chosen", "with 0.001", "with 0.002", "with 0.004"]
    assert learning_rates[1] == ["100", "0.002", "15.0 %, 15.0 %", "10.0 %, 10.0 %", "15.0 %, 15.0 %"]
    costs = {row[0]: row[1:] for row in read.tables["Cost of each contender"]}
    assert costs["Parameters"] == ["1,000", "2,000"]
    assert costs["FLOPs an image"] == ["6.69 M", "6.69 M"]
    assert costs["Latency, exported"] == ["0.14 ms", "0.086 ms"]
    assert costs["Run with 4,000 images"] == ["5.0 s", "5.0 s"]
    assert "GPU energy of all runs" not in costs


def test_markdown_has_the_same_tables(read: Reader, crossing: Path) -> None:
    assert tables_of_markdown((crossing / "report.md").read_text()) == read.tables


def test_the_same_folder_gives_the_same_bytes(copy: Path) -> None:
    before = {name: (copy / name).read_bytes() for name in FILES}
    assert write_report(copy) == copy / "report.html"
    assert {name: (copy / name).read_bytes() for name in FILES} == before


def test_the_page_loads_nothing_external(crossing: Path) -> None:
    text = (crossing / "report.html").read_text()
    assert not re.findall(r"https?:|//[a-z]|@import|url\((?!#)", re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert "default-src 'none'" in text


def test_curves_json_is_the_forecast(crossing: Path, results: StudyResults) -> None:
    stored = json.loads((crossing / "curves.json").read_text())
    assert stored.pop("plan") == json.loads((crossing / "plan.json").read_text())["hash"]
    forecast = json.loads(json.dumps(asdict(results.forecast)))
    assert stored.keys() == forecast.keys()
    assert stored["grid"] == pytest.approx(forecast["grid"], rel=1e-5)
    assert stored["pairs"][0]["gap"] == pytest.approx(forecast["pairs"][0]["gap"], rel=1e-5)
    assert stored["contenders"][0]["points"][0]["images"] == 100


def test_curves_json_of_an_earlier_version_are_read(results: StudyResults) -> None:
    """They do not say what to measure next."""
    missing = NextMeasurement("seeds", "ViT", "CNN", 4000, 2, 400, 0.6)
    newer = replace(results.forecast, next_measurement=missing)
    plain = json.loads(curves_json(replace(results, forecast=newer)))
    assert typed(Forecast, plain, "").next_measurement == missing
    del plain["next_measurement"]
    assert typed(Forecast, plain, "").next_measurement is None


def test_the_gain_of_the_next_images_names_their_number_where_it_is_another() -> None:
    assert gain_cell(NextImages(1000, 0.012, 0.004, 0.021), 1000) == "1.2 (0.4 to 2.1)"
    assert gain_cell(NextImages(500, 0.012, 0.004, 0.021), 1000) == "1.2 (0.4 to 2.1) of 500"
    assert gain_cell(None, 1000) == "beyond reach"


def renamed(results: StudyResults, old: str, new: str) -> StudyResults:
    """Results with a name that plans would refuse."""

    def rename(name: str) -> str:
        return new if name == old else name

    forecast = results.forecast
    contenders = tuple(replace(one, name=rename(one.name)) for one in forecast.contenders)
    pairs = tuple(replace(one, first=rename(one.first), second=rename(one.second)) for one in forecast.pairs)
    runs = [
        tuple(replace(done, job=replace(done.job, contender=rename(done.job.contender))) for done in group)
        for group in (results.reported, results.trials)
    ]
    resolved = replace(
        results.resolved,
        plan=replace(results.resolved.plan, expected=HOSTILE),
        source=HOSTILE,
        contenders=tuple(replace(one, name=rename(one.name)) for one in results.resolved.contenders),
    )
    return replace(
        results,
        resolved=resolved,
        reported=runs[0],
        trials=runs[1],
        forecast=replace(forecast, contenders=contenders, pairs=pairs),
        environment={**results.environment, "processor": HOSTILE},
    )


def test_hostile_names_are_escaped(results: StudyResults) -> None:
    bad = renamed(results, "CNN", HOSTILE)
    report = build_report(bad)
    read, text = Reader(page(report, bad)), markdown(report)
    assert read.elements.count("script") == 2
    assert "img" not in read.elements
    assert not {name for name in read.attributes if name.startswith("on")}
    assert json.loads(read.texts["script"][0])["names"] == ["ViT", HOSTILE]
    assert read.tables["Cost of each contender"][0][2] == HOSTILE
    assert "<" not in text.replace("\\<", "")
    assert all(line.count("|") - line.count("\\|") >= 2 for line in text.splitlines() if line.startswith("|"))


def test_the_expectation_is_beside_the_result(results: StudyResults) -> None:
    plan = replace(results.resolved.plan, expected="The CNN wins.\nAt every size.\n")
    report = build_report(replace(results, resolved=replace(results.resolved, plan=plan)))
    read = Reader(page(report, results))
    assert read.texts["blockquote"] == ["The CNN wins.At every size.", recommendation(results.forecast)]
    assert "> The CNN wins.  \n> At every size." in markdown(report)


def test_missing_and_damaged_runs_are_named(copy: Path) -> None:
    shutil.rmtree(copy / "runs" / "CNN-250-s1")
    (copy / "failed.json").write_text('{"CNN-250-s1": "out of <memory>", "ViT-100-s0": "long forgotten"}')
    shutil.rmtree(copy / "runs" / "CNN-630-s1")
    (copy / "runs" / "ViT-1600-s2" / "result.json").write_text('{"job": ')
    others = (copy / "runs" / "ViT-100-s0" / "result.json").read_bytes()
    (copy / "runs" / "ViT-100-s1" / "result.json").write_bytes(others)
    write_report(copy)
    read = Reader((copy / "report.html").read_text())
    failed = {row[0]: row[1] for row in read.tables["Runs without a result"][1:]}
    assert failed == {
        "CNN-250-s1": "out of <memory>",
        "CNN-630-s1": "not found, for an unknown reason",
        "ViT-1600-s2": "ViT-1600-s2/result.json or a file of its run is damaged (JSONDecodeError)",
        "ViT-100-s1": "ViT-100-s1/result.json is not what the run wrote",
    }
    assert len(read.tables["Every run"]) == 1 + 26
    assert read.tables["CNN"][2][-1] == "0, 2"


def test_an_unused_seed_is_not_a_failure(copy: Path) -> None:
    for run in (copy / "runs").glob("*-s2"):
        shutil.rmtree(run)
    write_report(copy)
    read = Reader((copy / "report.html").read_text())
    assert "Runs without a result" not in read.tables
    assert any(text.endswith("That saved 10 of 30 reported runs.") for text in read.texts["p"])


def test_a_folder_without_a_valid_study_is_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is not a study"):
        write_report(tmp_path / "empty")
    plan = json.loads((copy / "plan.json").read_text())
    (copy / "plan.json").write_text(json.dumps({**plan, "fingerprint": "another"}))
    with pytest.raises(DataError, match="changed by hand"):
        write_report(copy)
    (copy / "plan.json").write_text("[]")
    with pytest.raises(DataError, match="is damaged"):
        write_report(copy)
    (copy / "plan.json").write_text(json.dumps(plan))
    shutil.rmtree(copy / "runs")
    with pytest.raises(DataError, match="no finished run"):
        write_report(copy)


@pytest.mark.parametrize("name", ["near tie, POW3", "never crossing, POW3", "few mistakes"])
def test_other_kinds_of_studies_have_a_report(name: str, tmp_path: Path) -> None:
    """Three contenders, none ahead, low errors."""
    two = outcomes_of(pair(name), images=100)
    third = replace(
        two,
        contenders=("first", "second", "third"),
        wrong=two.wrong[[0, 1, 0]][..., ::-1],
        done=np.ones((3, 5, 3), bool),
        limited=np.zeros((3, 5), bool),
    )
    results = read_study(write_study(tmp_path, third, ("a", "b", "c")))
    report = build_report(results)
    read = Reader(page(report, results))
    assert {"a against b", "a against c", "b against c"} <= read.tables.keys()
    assert tables_of_markdown(markdown(report)) == read.tables
    assert "nan" not in read.texts["body"][0].lower()


def test_two_sizes_give_no_curve_but_a_report(tmp_path: Path) -> None:
    all_of_it = outcomes_of(pair("near tie, POW3"), images=100)
    few = Outcomes(all_of_it.contenders, all_of_it.sizes[:2], all_of_it.seeds, all_of_it.wrong[:, :2])
    folder = write_study(tmp_path, few)
    write_report(folder)
    read = Reader((folder / "report.html").read_text())
    assert any(text.startswith("No forecast of ViT: ") for text in read.texts["p"])
    assert any(text.startswith("No back-test") for text in read.texts["p"])


def test_a_contender_without_runs_does_not_affect_the_other(tmp_path: Path) -> None:
    whole = outcomes_of(pair("never crossing, POW3"), images=100)
    done = np.ones_like(whole.done)
    done[1] = False
    folder = write_study(tmp_path, replace(whole, done=done))
    write_report(folder)
    read = Reader((folder / "report.html").read_text())
    assert read.texts["p"][0] == recommendation(read_study(folder).forecast)
    assert len(read.tables["Runs without a result"]) == 1 + 15
    assert read.tables["CNN"] == [read.tables["ViT"][0]]


def test_a_best_rate_at_the_edge_of_the_tried_rates_is_noted(results: StudyResults) -> None:
    def text_of(one: StudyResults) -> str:
        return markdown(build_report(one))

    assert "that was tried" not in text_of(results)
    fewer = tuple(done for done in results.trials if done.job.rate != 0.001)
    assert "With 100, 630 and 4,000 images, the best rate of CNN is the lowest that was tried" in text_of(
        replace(results, trials=fewer)
    )
    assert "given, not tuned: 0.002 (ViT) and 0.002 (CNN)" in text_of(replace(results, trials=()))


def test_a_baseline_that_beats_a_contender_is_in_the_first_sentence(tmp_path: Path) -> None:
    folder = write_study(tmp_path, outcomes_of(pair("crossing inside, POW3 and POW3")))
    wrong = {"majority": 360, "RBF-SVM": 50}
    rows = [{"name": name, "size": 4000, "wrong": count, "images": 400} for name, count in wrong.items()]
    write_json(folder / "baselines.json", {"baselines": rows})
    write_report(folder)
    text = (folder / "report.md").read_text()
    assert "but RBF-SVM on pixels, without training a network, beats CNN with 87.5 %" in text.partition(";")[0]
    assert "## Baselines" in text


def test_limited_cells_are_hollow_named_and_left_out_of_curves(tmp_path: Path) -> None:
    """Longer runs of the ViT would be better at the two largest sizes: the middle tuned size and the last are known."""
    outcomes = outcomes_of(pair("never crossing, POW3"))
    largest = outcomes.sizes[-1]
    folder = write_study(tmp_path, outcomes, mode="trained-out", limited=[("ViT", largest)])
    results = read_study(folder)
    vit, cnn = results.forecast.contenders
    assert [point.limited for point in vit.points] == [False, False, False, True, True]
    assert not any(point.limited for point in cnn.points)
    assert vit.refused == f"its runs with {largest:,} images were limited by their budget"
    assert vit.curve is not None
    assert results.forecast.end_of(vit.curve) == outcomes.sizes[2]
    assert cnn.curve is not None
    assert results.forecast.end_of(cnn.curve) >= 2 * largest
    write_report(folder)
    text = (folder / "report.html").read_text()
    read = Reader(text)
    named = f"ViT with {outcomes.sizes[3]:,} and {largest:,} images"
    assert f" – longer runs may change this: limited by budget is {named};" in read.texts["p"][0]
    assert text.count('class="mean limited"') == 2 * text.count('class="drawing ')
    assert [row[7] for row in read.tables["ViT"][1:]] == ["yes"] * 3 + ["limited by budget"] * 2
    lengths = read.tables["ViT: validation error by length"]
    assert lengths[0] == ["Images", "300 steps", "600 steps", "Steps of a run", "Rate", "Trained out"]
    tried = "7.0 % (0.002) and 10.5 % (0.001)"
    assert lengths[-1] == [f"{largest:,}", "10.0 %", tried, "600", "0.002", "limited by budget"]
    assert lengths[1][1:] == ["10.0 %", "9.9 % (0.002) and 14.9 % (0.001)", "300", "0.002", "yes"]


def test_limited_cells_do_not_move_curves(tmp_path: Path) -> None:
    """The fit is that of a study without them."""
    outcomes = outcomes_of(pair("never crossing, POW3"))
    wrong = outcomes.wrong.copy()
    wrong[0, 3:] = True
    curves = [
        forecast(replace(outcomes, wrong=some, limited=np.arange(10).reshape(2, 5) % 5 >= 3)).contenders[0].curve
        for some in (outcomes.wrong, wrong)
    ]
    assert curves[0] is not None
    assert curves[0].error == pytest.approx(curves[1].error if curves[1] else (), rel=0.02)


def test_equal_steps_are_said_not_to_be_of_images_alone(read: Reader) -> None:
    assert any("are those of this many steps, not of the images alone" in text for text in read.texts["p"])


def test_a_probe_is_not_said_to_be_on_pixels(tmp_path: Path) -> None:
    folder = write_study(tmp_path, outcomes_of(pair("crossing inside, POW3 and POW3")))
    rows = [
        {"name": "1-NN", "size": 4000, "wrong": 60, "images": 400},
        {"name": "probe of resnet18", "size": 4000, "wrong": 50, "images": 400, "reads": "features"},
    ]
    write_json(folder / "baselines.json", {"baselines": rows})
    write_report(folder)
    text = (folder / "report.md").read_text()
    first = "but the probe of resnet18, logistic regression on its frozen features, beats CNN with 87.5 %"
    assert first in text.partition(";")[0]
    assert "A probe is logistic regression on the features of a pretrained network" in text
    assert "| Images | 1-NN | probe of resnet18 | ViT | CNN |" in text


def test_the_weights_that_a_contender_starts_from_are_named(results: StudyResults) -> None:
    first, *others = results.resolved.contenders
    resolved = replace(results.resolved, contenders=(replace(first, weights="ab" * 32), *others))
    text = markdown(build_report(replace(results, resolved=resolved)))
    assert text.count(f"weights of SHA-256 {'ab' * 32}") == 1
