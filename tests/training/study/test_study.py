"""Whole studies through the command: equal results everywhere, resumed after a stop, failures isolated."""

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.images.canvas import InputRule
from vitrail.training.study.executors.pool import FORK, IMPORTED
from vitrail.training.study.jobs import Job
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.statistics.stopping import StopDecision
from vitrail.training.study.store import existing_plan, outcomes_of, read_run

from .conftest import MOBILE, PLAN, VIT, write_weights

REPORT = {"report.html", "report.md", "curves.json", "learning_curves.png", "learning_curves.svg"}
DEADLINE = 300  # seconds, on a busy machine


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, latencies: None) -> Path:
    """A whole study, run in this process."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(PLAN)
    assert main(["study", f"--config={folder / 'small.yaml'}", f"--folder={folder / 'study'}", "--executor=here"]) == 0
    return folder / "study"


@pytest.fixture
def again(whole: Path, tmp_path: Path, plan_file: Path) -> Callable[..., int]:
    """The same command on a copy of that study."""
    shutil.copytree(whole, tmp_path / "study")

    def run(*options: str) -> int:
        return main(["study", f"--config={plan_file}", f"--folder={tmp_path / 'study'}", "--executor=here", *options])

    return run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_study_writes_all_its_files(whole: Path) -> None:
    runs = sorted(folder.name for folder in (whole / "runs").iterdir())
    reported = [f"{name}-{size}-s{seed}" for name in ("CNN", "ViT") for size in (30, 60) for seed in (0, 1, 2)]
    trials = [
        f"{name}-{size}-s{seed}-tune-{rate}"
        for name in ("CNN", "ViT")
        for size in (30, 60)
        for rate in (0.002, 0.006)
        for seed in (8, 9)
    ]
    wider = [name for name in runs if "tune" in name and name not in trials]
    assert runs == sorted([*reported, *trials, *wider])
    for name in reported:
        assert {"result.json", "predictions.npz", "log.txt"} <= {
            file.name for file in (whole / "runs" / name).iterdir()
        }
    table = rows(whole / "results.csv")
    assert [(row["contender"], int(row["size"]), int(row["seed"])) for row in table] == [
        (name, size, seed) for name in ("CNN", "ViT") for size in (30, 60) for seed in (0, 1, 2)
    ]
    timings = rows(whole / "timings.csv")
    assert [row["what"] for row in timings] == ["reported"] * 12 + ["tries a rate"] * len([*trials, *wider]) + [
        "exported"
    ] * 2
    assert all(float(row["latency_milliseconds"]) > 0 for row in timings[-2:])
    assert json.loads((whole / "plan.json").read_text())["sizes"] == [30, 60]
    assert {file.name for file in whole.iterdir()} >= REPORT


def test_a_rewritten_report_is_the_same(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(whole, folder)
    for name in REPORT:
        (folder / name).unlink()
    assert main(["study", "--report", str(folder)]) == 0
    for name in REPORT:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert main(["study", "--report"]) == 2


def test_prices_change_the_report_alone_and_stay(again: Callable[..., int], whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    assert again("--label-cost=0.05") == 0
    assert (folder / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()
    assert (folder / "plan.json").read_bytes() == (whole / "plan.json").read_bytes()
    assert "50 more images ≈ 2.50 €" in (folder / "report.md").read_text()
    assert main(["study", "--label-cost=0.1", "--currency", "CHF", f"--report={folder}"]) == 0
    assert main(["study", "--report", str(folder)]) == 0
    assert "50 more images ≈ 5.00 CHF" in (folder / "report.md").read_text()
    assert main(["study", "--report", str(folder), "--hour-cost=-1"]) == 2
    assert main(["study", "--report", str(tmp_path), "--hour-cost=1"]) == 2
    assert not (tmp_path / "prices.json").exists()


def test_every_error_follows_from_the_predictions(whole: Path) -> None:
    for row in rows(whole / "results.csv"):
        with np.load(whole / "runs" / f"{row['contender']}-{row['size']}-s{row['seed']}" / "predictions.npz") as saved:
            assert np.array_equal(saved["labels"], Digits().labels("test"))
            wrong = saved["probabilities"].argmax(1) != saved["labels"]
        assert float(row["test_error"]) == pytest.approx(wrong.mean(), rel=1e-5)
        assert int(row["train_images"]) + int(row["val_images"]) == int(row["size"])


def test_reported_rates_have_the_lowest_loss_of_those_with_a_low_error(whole: Path) -> None:
    tried: dict[tuple[str, int], dict[float, list[tuple[float, float]]]] = {}
    images: dict[int, int] = {}
    for path in (whole / "runs").glob("*-tune-*/result.json"):
        content = json.loads(path.read_text())
        job, result = content["job"], content["result"]
        rates = tried.setdefault((job["contender"], job["size"]), {})
        rates.setdefault(job["rate"], []).append((result["val_error"], result["val_loss"]))
        images[job["size"]] = 2 * result["val_images"]
    for row in rows(whole / "results.csv"):
        size = int(row["size"])
        means = {rate: np.mean(pairs, axis=0) for rate, pairs in tried[row["contender"], size].items()}
        lowest = min(error for error, _ in means.values())
        share = (lowest * images[size] + 0.5) / (images[size] + 1)
        most = lowest + (share * (1 - share) / images[size]) ** 0.5
        best = min((rate for rate in means if means[rate][0] <= most), key=lambda rate: means[rate][1])
        assert float(row["rate"]) == pytest.approx(best, rel=1e-5)


def test_outcomes_contain_the_wrong_predictions_of_every_run(whole: Path, plan_file: Path) -> None:
    from vitrail.training.study.parsing import parse_study

    resolved = existing_plan(whole, parse_study([f"--config={plan_file}"]).plan, Digits().fingerprint)
    assert resolved is not None
    table = [row for row in rows(whole / "results.csv") if row["seed"] != "1"]
    names = [Job(row["contender"], int(row["size"]), int(row["seed"]), 0.0).name for row in table]
    runs = [read_run(whole / "runs" / name) for name in names if name != "CNN-60-s2"]
    outcomes = outcomes_of(resolved, runs)
    assert (outcomes.contenders, outcomes.sizes, outcomes.seeds) == (("ViT", "CNN"), (30, 60), (0, 2))
    assert outcomes.wrong.shape == (2, 2, 2, 359)
    assert outcomes.done.sum() == 7
    assert not outcomes.done[1, 1, 1]
    for row in table:
        index = (outcomes.contenders.index(row["contender"]), outcomes.sizes.index(int(row["size"])),
                 outcomes.seeds.index(int(row["seed"])))  # fmt: skip
        if outcomes.done[index]:
            assert outcomes.wrong[index].mean() == pytest.approx(float(row["test_error"]), rel=1e-5)


def copy_without(whole: Path, folder: Path, *missing: str) -> None:
    """A copy of the study in which these runs are still to be done."""
    shutil.copytree(whole, folder)
    for name in missing:
        shutil.rmtree(folder / "runs" / name)


REPORTED, TRIALS = ("CNN-30-s2", "ViT-60-s1"), ("ViT-60-s9-tune-0.002", "ViT-60-s9-tune-0.006")


@pytest.mark.parametrize("done", [True, pytest.param(False, marks=pytest.mark.long)], ids=["partly done", "new"])
def test_a_pool_gives_the_results_of_one_process(done: bool, whole: Path, plan_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pooled"
    if done:
        copy_without(whole, folder, *REPORTED, *TRIALS)
    assert main(["study", f"--config={plan_file}", f"--folder={folder}", "--executor=pool", "--workers=2"]) == 0
    assert (folder / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()
    for run in (whole / "runs").iterdir():
        assert (folder / "runs" / run.name / "predictions.npz").read_bytes() == (run / "predictions.npz").read_bytes()
    workers = [{row["worker"] for row in rows(study / "timings.csv") if row["worker"]} for study in (folder, whole)]
    assert len(workers[0] - workers[1]) == 2


def test_a_finished_study_repeats_no_run(
    again: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "study" / "runs").rglob("*")}
    assert again() == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "study" / "runs").rglob("*")} == before
    assert "test error" not in capsys.readouterr().out


def test_a_sweep_at_one_size_is_run_reported_and_resumed(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, names = tmp_path / "swept", ["ViT+mixup=0", "ViT+mixup=0.4", "CNN"]
    options = ["--sizes=[30]", "--rate_factors=[1]", "--sweep.ViT.mixup=0,0.4", "--executor=here"]
    command = ["study", f"--config={plan_file}", f"--folder={folder}", *options]
    assert main(command) == 0
    assert {run.name for run in (folder / "runs").iterdir()} == {
        f"{name}-30-s{seed}" for name in names for seed in (0, 1, 2)
    }
    errors: dict[str, list[float]] = {}
    for row in rows(folder / "results.csv"):
        errors.setdefault(row["contender"], []).append(float(row["val_error"]))
    choice = json.loads((folder / "curves.json").read_text())["choice"]
    assert choice["validation_errors"] == pytest.approx({name: np.mean(errors[name]) for name in names}, abs=1e-5)
    assert choice["chosen"] == min(choice["validation_errors"], key=lambda name: choice["validation_errors"][name])
    assert f"validation images choose {choice['chosen']} of 3" in (folder / "report.html").read_text()
    shutil.rmtree(folder / "runs" / "ViT+mixup=0.4-30-s1")
    before = (folder / "results.csv").read_bytes()
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.count("test error") == 1
    assert (folder / "results.csv").read_bytes() == before


def test_damaged_runs_are_named_and_repeated(
    again: Callable[..., int], whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "study" / "runs"
    (runs / "CNN-30-s0" / "result.json").write_text('{"job": ')
    (runs / "CNN-30-s1" / "result.json").write_text("[1]")
    predictions = runs / "ViT-60-s2" / "predictions.npz"
    predictions.write_bytes(predictions.read_bytes()[:-7])
    (runs / "ViT-60-s1" / "result.json").unlink()
    shutil.copy(runs / "CNN-60-s1" / "result.json", runs / "CNN-60-s0" / "result.json")
    shutil.rmtree(runs / "ViT-30-s1")
    assert again() == 0
    printed = capsys.readouterr().out
    for named in ("CNN-30-s0/result.json", "CNN-30-s1/result.json", "ViT-60-s2/predictions.npz", "CNN-60-s0/"):
        assert named in printed
    assert printed.count("test error") == 6
    assert (tmp_path / "study/results.csv").read_bytes() == (whole / "results.csv").read_bytes()


def test_more_seeds_add_their_runs(again: Callable[..., int], tmp_path: Path) -> None:
    before = rows(tmp_path / "study/results.csv")
    assert again("--seeds=[0, 1, 2, 5]") == 0
    after = rows(tmp_path / "study/results.csv")
    assert [row for row in after if row["seed"] != "5"] == before
    assert len(after) == len(before) * 4 // 3
    assert json.loads((tmp_path / "study/plan.json").read_text())["plan"]["seeds"] == [0, 1, 2, 5]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--steps=8"], "plan.steps is 4 in the folder and 8 here"),
        (
            ["--contenders.CNN.net.init_args.width=5"],
            "contenders.CNN.model.net.init_args.width is 8 in the folder",
        ),
        (["--data.seed=3"], "plan.data.seed is 0 in the folder and 3 here"),
    ],
)
def test_a_folder_of_another_plan_is_refused(
    options: list[str], reason: str, again: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert again(*options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds a study of another plan" in line
    assert reason in line


@pytest.mark.long
def test_a_study_stops_when_its_rule_applies(
    whole: Path, plan_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rule is called after every seed with all outcomes so far; the runs equal those of the whole study."""
    seen: list[Outcomes] = []

    def fake_rule(outcomes: Outcomes, planned: int, confidence: float) -> StopDecision:
        seen.append(outcomes)
        stop = (planned, confidence) == (3, 0.9) and len(outcomes.seeds) == 2
        return StopDecision(stop, None, 0.5, 1.0, len(outcomes.seeds), planned)

    monkeypatch.setattr("vitrail.training.study.study.decide_by_seeds", fake_rule)
    folder = tmp_path / "sure"
    options = ["study", f"--config={plan_file}", f"--folder={folder}", "--executor=here"]
    assert main([*options, "--until-sure=0.9"]) == 0
    assert [outcomes.seeds for outcomes in seen] == [(0,), (0, 1)]
    assert all(outcomes.done.all() for outcomes in seen)
    table = [row for row in rows(whole / "results.csv") if row["seed"] != "2"]
    assert rows(folder / "results.csv") == table
    assert "stopping after 2 of 3 seeds: 4 runs saved" in capsys.readouterr().out
    assert main(options) == 0
    assert (folder / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


@pytest.mark.long
def test_the_real_rule_reads_a_study(plan_file: Path, tmp_path: Path) -> None:
    options = [f"--config={plan_file}", f"--folder={tmp_path / 'study'}", "--executor=here", "--until-sure"]
    assert main(["study", *options]) == 0
    seeds = {row["seed"] for row in rows(tmp_path / "study" / "results.csv")}
    assert {"0", "1"} <= seeds


def test_a_folder_with_other_files_is_refused(plan_file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert main(["study", f"--config={plan_file}", f"--folder={tmp_path / 'mine'}"]) == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_damaged_or_altered_plan_is_refused(
    again: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study" / "plan.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps({**plain, "sizes": [30, 50]}))
    assert again() == 1
    path.write_text("{")
    assert again() == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "was changed by hand" in first
    assert "is damaged" in second


def without_pool(*options: str) -> psutil.Process:
    """Forked from the process from which a pool forks its workers: a new one imports for ten seconds."""
    FORK.set_forkserver_preload(IMPORTED)
    process = FORK.Process(target=main, args=(["study", *options, "--executor=here"],))
    process.start()
    return psutil.Process(process.pid)


def with_pool(*options: str) -> psutil.Process:
    command = [sys.executable, "-m", "vitrail", "study", *options, "--executor=pool", "--workers=1"]
    return psutil.Popen(command, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("start", [without_pool, pytest.param(with_pool, marks=pytest.mark.long)])
def test_a_killed_study_resumes(
    start: Callable[..., psutil.Process], whole: Path, plan_file: Path, tmp_path: Path
) -> None:
    """Killed by SIGKILL: its worker ends too, and the resumed study has the same results."""
    folder = tmp_path / "killed"
    copy_without(whole, folder, *REPORTED, *TRIALS)
    kept = set((folder / "runs").glob("*/result.json"))
    options = [f"--config={plan_file}", f"--folder={folder}"]
    study = start(*options)
    try:
        wait_for(lambda: set((folder / "runs").glob("*/result.json")) > kept, study)
        (first, *_) = set((folder / "runs").glob("*/result.json")) - kept
        worker = psutil.Process(int(json.loads(first.read_text())["timing"]["worker"].rpartition("-")[2]))
    finally:
        study.kill()
    _, alive = psutil.wait_procs([study, worker], timeout=DEADLINE)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    finished = {path: path.stat().st_mtime_ns for path in (folder / "runs").glob("*/result.json")}
    assert len(kept) < len(finished) < len(kept) + len(REPORTED) + len(TRIALS)
    assert main(["study", *options, "--executor=here"]) == 0
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert (folder / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()


def wait_for(condition: Callable[[], bool], process: psutil.Process) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert process.is_running(), "it ended before"
        assert process.status() != psutil.STATUS_ZOMBIE, "it ended before"
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_a_failed_run_does_not_affect_others(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An undecodable image in the larger subsets only."""
    images, folder = tmp_path / "images", tmp_path / "study"
    digits = Digits().read("train", InputRule(8))
    for index in np.concatenate([np.flatnonzero(digits.labels == label)[:30] for label in (0, 1)]):
        of_class = images / str(digits.labels[index])
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[index]).save(of_class / f"{index}.png")
    options = [
        f"--data.path={images}",
        "--sizes=[6, 40]",
        "--rate_factors=[1]",
        f"--folder={folder}",
        "--executor=here",
    ]
    broken = broken_image(images)
    assert main(["study", f"--config={plan_file}", *options]) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert "6 of 12 runs failed, the others are stored" in line
    assert str(broken) in line
    assert [int(row["size"]) for row in rows(folder / "results.csv")] == [6] * 6
    assert printed.out.count("failed: ") == 6


def broken_image(images: Path) -> Path:
    """Truncates an image that is in every subset of 40 and in no subset of 6."""
    from vitrail.training.data_module import ImageDataModule

    def names(size: int, seed: int) -> set[Path]:
        data = ImageDataModule(str(images), 8, images=size, draw=seed)
        return {images / name for part in ("train", "val") for name in data.part(part).names}

    large = set.intersection(*(names(40, seed) for seed in range(3)))
    small = set.union(*(names(6, seed) for seed in range(3)))
    chosen = min(large - small)
    chosen.write_bytes(chosen.read_bytes()[:40])
    return chosen


@pytest.mark.long
@pytest.mark.parametrize("mode", ["equal-steps", "trained-out"])
def test_a_study_of_networks_with_weights(
    mode: str, pretrained_file: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the folder of weights to the report; with other weights it does not go on."""
    command = ["study", f"--config={pretrained_file}", f"--folder={tmp_path / 'study'}", f"--weights={weights}"]
    command.append(f"--mode={mode}")
    assert main([*command, "--executor=pool", "--workers=1"]) == 0
    table = rows(tmp_path / "study/results.csv")
    assert {(row["contender"], row["size"]) for row in table} == {
        (name, size) for name in ("ViT", "CNN", "Scratch") for size in ("30", "60")
    }
    measured = json.loads((tmp_path / "study/baselines.json").read_text())["baselines"]
    assert [(one["name"], one["size"]) for one in measured if one["reads"] == "features"] == [
        (f"probe of {name}", size) for size in (30, 60) for name in (VIT, MOBILE)
    ]
    text = (tmp_path / "study/report.md").read_text()
    plan = json.loads((tmp_path / "study/plan.json").read_text())
    hashes = [one["weights"] for one in plan["contenders"]]
    assert [f"weights of SHA-256 {one}" in text for one in hashes[:2]] == [True, True]
    assert hashes[2] is None
    head = f"1-NN | logistic regression | RBF-SVM | probe of {VIT} | probe of {MOBILE} | ViT | CNN | Scratch |"
    assert head.replace("_", "\\_") in text
    write_weights(weights, VIT, seed=1)
    capsys.readouterr()
    assert main([*command, "--dry-run"]) == 2
    assert "plan.contenders.ViT.weights is " in capsys.readouterr().err
