"""The report says what forecast and runs say, in HTML and Markdown alike, and nothing that a name smuggles in."""

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from statistics import stdev

import numpy as np
import pytest

from vitrail.errors import DataError, UsageError
from vitrail.training.study.report.html import page
from vitrail.training.study.report.markdown import markdown
from vitrail.training.study.report.outline import tell
from vitrail.training.study.report.report import report
from vitrail.training.study.report.results import Found, read_study
from vitrail.training.study.statistics.recommendation import sentence

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


def test_it_opens_with_the_decision(read: Reader, crossing: Path, found: Found) -> None:
    decision = sentence(found.forecast)
    assert read.texts["p"][0] == decision
    assert read.elements.index("p") < read.elements.index("h2")
    assert (crossing / "report.md").read_text().splitlines()[2].replace("\\", "") == f"**{decision}**"


def test_gaps_are_those_of_the_forecast(read: Reader, found: Found) -> None:
    (told,) = found.forecast.pairs
    rows = read.tables["ViT against CNN"][1:]
    for row, gap in zip(rows, told.measured, strict=False):
        sign = -1 if gap.gap < 0 else 1
        assert numbers(row[0]) == [gap.images]
        assert row[1] == ("ViT" if gap.gap < 0 else "CNN")
        wanted = [100 * sign * gap.gap, *sorted((100 * sign * gap.low, 100 * sign * gap.high))]
        assert numbers(row[2]) == pytest.approx(wanted, abs=0.0501)
        sure = gap.first_ahead if gap.gap < 0 else 1 - gap.first_ahead
        assert row[3] == "> 99 %" if sure > 0.99 else numbers(row[3])[0] == pytest.approx(100 * sure, abs=1)
        assert numbers(row[4])[0] == pytest.approx(max(gap.significance, 0.001), abs=0.0051)
    assert [row[0] for row in rows[len(told.measured) :]] == ["8,000, foretold", "16,000, foretold"]
    last = rows[-1]
    wanted = [-100 * told.gap[-1], -100 * told.high[-1], -100 * told.low[-1]]
    assert last[1] == "ViT"
    assert numbers(last[2]) == pytest.approx(wanted, abs=0.0501)


def test_needs_and_the_back_test_are_those_of_the_forecast(read: Reader, found: Found) -> None:
    rows = {row[0]: row[1:] for row in read.tables["What more labelled images bring"]}
    for place, one in enumerate(found.forecast.contenders):
        assert one.curve is not None
        assert one.back_test is not None
        for need in one.curve.needed:
            cell = rows[f"Images for {100 * need.accuracy:g} % right"][place]
            if need.images is None:
                assert cell.startswith("not within 16,000")
            else:
                assert numbers(cell)[0] == pytest.approx(need.images, rel=0.06)
        assert one.curve.next_images is not None
        gain = rows["The next 1,000 bring, points"][place]
        assert numbers(gain)[0] == pytest.approx(100 * one.curve.next_images.gain, abs=0.051)
        off = 100 * one.back_test.off
        assert numbers(rows["Back-test: off by, points"][place])[0] == pytest.approx(off, abs=0.051)
        said = f"{one.name} off by {off:.1f} points"
        assert sum(said in text for text in [*read.texts["p"], *read.texts["figcaption"]]) >= 3


def test_every_error_leads_to_the_runs_from_which_it_follows(read: Reader, crossing: Path, found: Found) -> None:
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
                with np.load(crossing / "runs" / name / "predictions.npz") as kept:
                    errors.append(100 * (kept["probabilities"].argmax(1) != kept["labels"]).mean())
                assert numbers(own[name][7]) == pytest.approx([errors[-1]], abs=0.0051)
            assert numbers(row[1])[0] == pytest.approx(np.mean(errors), abs=0.0501)


def test_how_far_seeds_lie_apart_is_measured_beside_what_the_law_says(read: Reader, found: Found) -> None:
    """Of each cell by itself: another contender's runs change the law, but not what was measured here."""
    for contender in found.forecast.contenders:
        rows = read.tables[contender.name][1:]
        for row, point in zip(rows, contender.points, strict=True):
            errors = [done.result.test_error for done in found.runs(contender.name, point.images) if done.result]
            assert numbers(row[2]) == pytest.approx([100 * stdev(errors)], abs=0.0051)
            assert point.measured_spread == pytest.approx(stdev(errors))
            assert numbers(row[3]) == pytest.approx([100 * point.seed_spread], abs=0.0051)


def test_one_seed_is_not_apart_from_itself(copy: Path) -> None:
    for place in (copy / "runs").glob("CNN-250-s[12]"):
        shutil.rmtree(place)
    report(copy)
    alone = Reader((copy / "report.html").read_text()).tables["CNN"][2]
    assert (alone[0], alone[2]) == ("250", "–")
    kept = json.loads((copy / "curves.json").read_text())["contenders"][1]["points"]
    assert [point["measured_spread"] is None for point in kept] == [False, True, False, False, False]


def test_every_link_leads_somewhere(read: Reader, crossing: Path) -> None:
    for link in read.links:
        if link.startswith("#"):
            assert link[1:] in read.identities
        elif link != "data:,":
            assert (crossing / link).is_file()
    assert len(read.identities) == len(set(read.identities))


def test_rates_and_costs(read: Reader) -> None:
    rates = read.tables["CNN: validation error with every rate"]
    assert rates[0] == ["Images", "Chosen", "with 0.001", "with 0.002", "with 0.004"]
    assert rates[1] == ["100", "0.002", "15.0 %", "10.0 %", "15.0 %"]
    costs = {row[0]: row[1:] for row in read.tables["Cost of each contender"]}
    assert costs["Parameters"] == ["1,000", "2,000"]
    assert costs["FLOPs an image"] == ["6.69 M", "6.69 M"]
    assert costs["Latency, exported"] == ["0.14 ms", "0.086 ms"]
    assert costs["A run with 4,000 images"] == ["5.0 s", "5.0 s"]
    assert "Energy of its runs, by the GPU" not in costs


def test_markdown_has_the_same_tables(read: Reader, crossing: Path) -> None:
    assert tables_of_markdown((crossing / "report.md").read_text()) == read.tables


def test_the_same_folder_gives_the_same_bytes(copy: Path) -> None:
    before = {name: (copy / name).read_bytes() for name in FILES}
    assert report(copy) == copy / "report.html"
    assert {name: (copy / name).read_bytes() for name in FILES} == before


def test_nothing_comes_from_outside(crossing: Path) -> None:
    text = (crossing / "report.html").read_text()
    assert not re.findall(r"https?:|//[a-z]|@import|url\((?!#)", re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert "default-src 'none'" in text


def test_curves_json_is_the_forecast(crossing: Path, found: Found) -> None:
    kept = json.loads((crossing / "curves.json").read_text())
    assert kept.pop("plan") == json.loads((crossing / "plan.json").read_text())["hash"]
    forecast = json.loads(json.dumps(asdict(found.forecast)))
    assert kept.keys() == forecast.keys()
    assert kept["grid"] == pytest.approx(forecast["grid"], rel=1e-5)
    assert kept["pairs"][0]["gap"] == pytest.approx(forecast["pairs"][0]["gap"], rel=1e-5)
    assert kept["contenders"][0]["points"][0]["images"] == 100


def renamed(found: Found, old: str, new: str) -> Found:
    """As if plans did not refuse such a name."""

    def told(name: str) -> str:
        return new if name == old else name

    forecast = found.forecast
    contenders = tuple(replace(one, name=told(one.name)) for one in forecast.contenders)
    pairs = tuple(replace(one, first=told(one.first), second=told(one.second)) for one in forecast.pairs)
    runs = [
        tuple(replace(done, job=replace(done.job, contender=told(done.job.contender))) for done in group)
        for group in (found.reported, found.trials)
    ]
    settled = replace(
        found.settled,
        plan=replace(found.settled.plan, expected=HOSTILE),
        source=HOSTILE,
        contenders=tuple(replace(one, name=told(one.name)) for one in found.settled.contenders),
    )
    return replace(
        found,
        settled=settled,
        reported=runs[0],
        trials=runs[1],
        forecast=replace(forecast, contenders=contenders, pairs=pairs),
        environment={**found.environment, "processor": HOSTILE},
    )


def test_hostile_names_are_words_and_nothing_else(found: Found) -> None:
    bad = renamed(found, "CNN", HOSTILE)
    story = tell(bad)
    read, text = Reader(page(story, bad)), markdown(story)
    assert read.elements.count("script") == 2
    assert "img" not in read.elements
    assert not {name for name in read.attributes if name.startswith("on")}
    assert json.loads(read.texts["script"][0])["names"] == ["ViT", HOSTILE]
    assert read.tables["Cost of each contender"][0][2] == HOSTILE
    assert "<" not in text.replace("\\<", "")
    assert all(line.count("|") - line.count("\\|") >= 2 for line in text.splitlines() if line.startswith("|"))


def test_what_was_expected_stands_beside_what_came_out(found: Found) -> None:
    plan = replace(found.settled.plan, expected="The CNN wins.\nAt every size.\n")
    story = tell(replace(found, settled=replace(found.settled, plan=plan)))
    read = Reader(page(story, found))
    assert read.texts["blockquote"] == ["The CNN wins.At every size.", sentence(found.forecast)]
    assert "> The CNN wins.  \n> At every size." in markdown(story)


def test_what_is_missing_or_damaged_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "runs" / "CNN-250-s1")
    (copy / "failed.json").write_text('{"CNN-250-s1": "out of <memory>", "ViT-100-s0": "long forgotten"}')
    shutil.rmtree(copy / "runs" / "CNN-630-s1")
    (copy / "runs" / "ViT-1600-s2" / "result.json").write_text('{"job": ')
    (copy / "runs" / "ViT-100-s1" / "predictions.npz").write_bytes(b"others")
    report(copy)
    read = Reader((copy / "report.html").read_text())
    assert dict(map(tuple, read.tables["Runs without a result"][1:])) == {
        "CNN-250-s1": "out of <memory>",
        "CNN-630-s1": "not there, and nothing says why",
        "ViT-1600-s2": "its files are damaged (JSONDecodeError)",
        "ViT-100-s1": "its files are not what the run wrote",
    }
    assert len(read.tables["Every run"]) == 1 + 26
    assert read.tables["CNN"][2][-1] == "0, 2"


def test_a_seed_that_never_began_is_no_failure(copy: Path) -> None:
    for place in (copy / "runs").glob("*-s2"):
        shutil.rmtree(place)
    report(copy)
    read = Reader((copy / "report.html").read_text())
    assert "Runs without a result" not in read.tables
    assert any(text.endswith("That saved 10 of 30 reported runs.") for text in read.texts["p"])


def test_a_study_that_cannot_be_told_is_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is no study"):
        report(tmp_path / "empty")
    plan = json.loads((copy / "plan.json").read_text())
    (copy / "plan.json").write_text(json.dumps({**plan, "fingerprint": "another"}))
    with pytest.raises(DataError, match="changed by hand"):
        report(copy)
    (copy / "plan.json").write_text("[]")
    with pytest.raises(DataError, match="is damaged"):
        report(copy)
    (copy / "plan.json").write_text(json.dumps(plan))
    shutil.rmtree(copy / "runs")
    with pytest.raises(DataError, match="no finished run"):
        report(copy)


@pytest.mark.parametrize("name", ["near tie, POW3", "never crossing, POW3", "few mistakes"])
def test_other_studies_are_told_too(name: str, tmp_path: Path) -> None:
    """Three contenders, nobody ahead, hardly a mistake."""
    two = outcomes_of(pair(name), images=100)
    third = replace(
        two,
        contenders=("first", "second", "third"),
        wrong=two.wrong[[0, 1, 0]][..., ::-1],
        done=np.ones((3, 5, 3), bool),
    )
    found = read_study(write_study(tmp_path, third, ("a", "b", "c")))
    story = tell(found)
    read = Reader(page(story, found))
    assert {"a against b", "a against c", "b against c"} <= read.tables.keys()
    assert tables_of_markdown(markdown(story)) == read.tables
    assert "nan" not in read.texts["body"][0].lower()


def test_two_sizes_give_no_curve_but_a_report(tmp_path: Path) -> None:
    all_of_it = outcomes_of(pair("near tie, POW3"), images=100)
    few = replace(all_of_it, sizes=all_of_it.sizes[:2], wrong=all_of_it.wrong[:, :2], done=all_of_it.done[:, :2])
    folder = write_study(tmp_path, few)
    report(folder)
    read = Reader((folder / "report.html").read_text())
    assert any(text.startswith("No forecast of ViT: ") for text in read.texts["p"])
    assert any(text.startswith("No back-test") for text in read.texts["p"])


def test_a_contender_without_any_run_leaves_the_other_its_report(tmp_path: Path) -> None:
    whole = outcomes_of(pair("never crossing, POW3"), images=100)
    done = np.ones_like(whole.done)
    done[1] = False
    folder = write_study(tmp_path, replace(whole, done=done))
    report(folder)
    read = Reader((folder / "report.html").read_text())
    assert read.texts["p"][0] == sentence(read_study(folder).forecast)
    assert len(read.tables["Runs without a result"]) == 1 + 15
    assert read.tables["CNN"] == [read.tables["ViT"][0]]


def test_a_best_rate_at_the_end_of_what_was_tried_is_told(found: Found) -> None:
    def told(one: Found) -> str:
        return markdown(tell(one))

    assert "rate that was tried" not in told(found)
    fewer = tuple(done for done in found.trials if done.job.rate != 0.001)
    assert "With 100, 630 and 4,000 images CNN learns best with the lowest rate" in told(replace(found, trials=fewer))
    assert "not tried but given: 0.002 (ViT) and 0.002 (CNN)" in told(replace(found, trials=()))
