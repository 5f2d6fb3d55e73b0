"""The folder of a study: what is saved is read back, and what was changed since is refused or repeated."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from vitrail.errors import DataError, UsageError
from vitrail.models import ViT
from vitrail.training.study.jobs import FinishedRun
from vitrail.training.study.plan import Plain
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.store import existing_plan, outcomes_of, read_plan, read_run, save_plan, save_run, saved_run

from .report.folders import resolved_for, run

WRONG = np.random.default_rng(3).random((2, 2, 3, 20)) < 0.3
OUTCOMES = Outcomes(("ViT", "CNN"), (60, 120), (0, 1, 2), WRONG, np.ones((2, 2, 3), np.bool_))


@pytest.fixture
def resolved() -> ResolvedPlan:
    return resolved_for(OUTCOMES, OUTCOMES.contenders)


@pytest.fixture
def done(resolved: ResolvedPlan) -> FinishedRun:
    """The run of the CNN on 60 images with seed 2."""
    return run(OUTCOMES, resolved, (1, 0, 2))


def test_a_saved_plan_is_read_back_and_belongs_to_its_folder(resolved: ResolvedPlan, tmp_path: Path) -> None:
    assert existing_plan(tmp_path / "new", resolved.plan, resolved.fingerprint) is None
    save_plan(tmp_path, resolved)
    assert read_plan(tmp_path) == existing_plan(tmp_path, resolved.plan, resolved.fingerprint) == resolved


def test_a_folder_of_another_plan_is_refused_with_the_differences(resolved: ResolvedPlan, tmp_path: Path) -> None:
    save_plan(tmp_path, resolved)
    other = replace(resolved.plan, steps=2 * resolved.plan.steps)
    with pytest.raises(UsageError, match=f"plan.steps is {resolved.plan.steps} in the folder and {other.steps} here"):
        existing_plan(tmp_path, other, resolved.fingerprint)
    with pytest.raises(UsageError, match=r"fingerprint is .* and \"other images\" here"):
        existing_plan(tmp_path, resolved.plan, "other images")
    many = replace(other, name="other", device="cpu", seeds=(7, 8, 9), validate_every=10)
    with pytest.raises(UsageError, match=r"; and \d more\. Choose another --folder"):
        existing_plan(tmp_path, many, "other images")


def test_a_plan_grows_by_seeds_and_longer_runs(resolved: ResolvedPlan, tmp_path: Path) -> None:
    save_plan(tmp_path, resolved)
    more = replace(resolved.plan, seeds=(*resolved.plan.seeds, 7), most_steps=2 * resolved.plan.most_steps)
    assert existing_plan(tmp_path, more, resolved.fingerprint) == replace(resolved, plan=more)
    save_plan(tmp_path, replace(resolved, plan=more))
    with pytest.raises(UsageError, match=r"plan\.seeds is \[0, 1, 2, 7\] in the folder and \[0, 1, 2\] here"):
        existing_plan(tmp_path, replace(more, seeds=resolved.plan.seeds), resolved.fingerprint)
    with pytest.raises(UsageError, match=r"plan\.most_steps is"):
        existing_plan(tmp_path, replace(more, most_steps=more.most_steps // 2), resolved.fingerprint)


def test_a_plan_of_an_earlier_version_goes_on(resolved: ResolvedPlan, tmp_path: Path) -> None:
    """Its networks lack the options that came later, which are at their defaults; other values are refused."""

    def with_network(options: Plain) -> ResolvedPlan:
        network = {"class_path": "vitrail.models.ViT", "init_args": {"patch": 2, "width": 16, "heads": 2, **options}}
        first, *others = resolved.plan.contenders
        changed = replace(first, model={**first.model, "net": network})
        return replace(resolved, plan=replace(resolved.plan, contenders=(changed, *others)))

    save_plan(tmp_path, with_network({}))
    given = with_network({**asdict(ViT(patch=2, width=16, heads=2))})
    assert existing_plan(tmp_path, given.plan, resolved.fingerprint) is not None
    with pytest.raises(UsageError, match=r"depth is 6 in the folder and 7 here"):
        existing_plan(
            tmp_path, with_network({**asdict(ViT(depth=7, patch=2, width=16, heads=2))}).plan, resolved.fingerprint
        )


def test_a_folder_without_a_plan_is_refused_where_it_has_anything(resolved: ResolvedPlan, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no plan\.json"):
        read_plan(tmp_path)
    assert existing_plan(tmp_path, resolved.plan, resolved.fingerprint) is None  # empty
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UsageError, match="something other than a study"):
        existing_plan(tmp_path, resolved.plan, resolved.fingerprint)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace('"digits"', '"others"', 1), "was changed by hand"),
        (lambda text: text[:-40], "is damaged"),
        (lambda text: "[]", "is damaged"),
    ],
)
def test_a_plan_that_was_changed_is_refused(
    damage: Callable[[str], str], message: str, resolved: ResolvedPlan, tmp_path: Path
) -> None:
    save_plan(tmp_path, resolved)
    path = tmp_path / "plan.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=message):
        read_plan(tmp_path)


def test_a_saved_run_is_read_back_without_its_files(done: FinishedRun, tmp_path: Path) -> None:
    save_run(tmp_path, done)
    log: list[str] = []
    assert saved_run(tmp_path, done.job, log.append) == replace(done, files={})
    assert saved_run(tmp_path, replace(done.job, seed=1), log.append) is None  # never run
    assert log == []
    assert (tmp_path / "runs/CNN-60-s2/log.txt").read_bytes() == done.files["log.txt"]


def test_a_run_with_another_rate_is_repeated(done: FinishedRun, tmp_path: Path) -> None:
    save_run(tmp_path, done)
    log: list[str] = []
    assert saved_run(tmp_path, replace(done.job, rate=2 * done.job.rate), log.append) is None
    assert log == ["CNN-60-s2/result.json is of another run: repeating this run"]


def edit(folder: Path, part: str, name: str, value: object) -> None:
    """With another value, or without one."""
    content = json.loads((folder / "result.json").read_text())
    del content[part][name]
    if value is not None:
        content[part][name] = value
    (folder / "result.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "log.txt").write_bytes(b"other"), "log.txt is not what the run wrote"),
        (lambda folder: (folder / "best.ckpt").write_bytes(b""), "best.ckpt is not what the run wrote"),
        (lambda folder: (folder / "result.json").write_bytes(b"{"), r"is damaged \(JSONDecodeError\)"),
        (lambda folder: edit(folder, "result", "steps", None), r"is damaged \(TypeError\)"),
        (lambda folder: edit(folder, "result", "test_error", 0.123), "result.json is not what the run wrote"),
        (lambda folder: edit(folder, "wrong", "bits", "%%%"), r"is damaged \(Error\)"),
        (lambda folder: edit(folder, "wrong", "images", None), r"is damaged \(TypeError\)"),
        (lambda folder: folder.rename(folder.with_name("CNN-60-s9")), "result.json is not what the run wrote"),
    ],
)
def test_a_damaged_run_is_refused_and_repeated(
    damage: Callable[[Path], object], message: str, done: FinishedRun, tmp_path: Path
) -> None:
    save_run(tmp_path, done)
    damage(tmp_path / "runs/CNN-60-s2")
    (folder,) = (tmp_path / "runs").iterdir()
    with pytest.raises(DataError, match=message):
        read_run(folder)
    log: list[str] = []
    seed = int(folder.name.rpartition("-s")[2])
    assert saved_run(tmp_path, replace(done.job, seed=seed), log.append) is None
    assert [line.rpartition(": ")[2] for line in log] == ["repeating this run"]


def test_a_run_goes_on_without_its_files(done: FinishedRun, tmp_path: Path) -> None:
    save_run(tmp_path, done)
    folder = tmp_path / "runs/CNN-60-s2"
    (folder / "log.txt").unlink()
    (folder / "best.ckpt").write_bytes(b"others")
    assert read_run(folder, verify=False) == replace(done, files={})
    (folder / "best.ckpt").unlink()
    assert saved_run(tmp_path, done.job, print) == replace(done, files={})


def test_outcomes_mark_missing_runs_and_leave_out_seeds_without_any(resolved: ResolvedPlan) -> None:
    indices = [index for index in np.ndindex(2, 2, 3) if index[2] != 1 and index != (0, 1, 2)]
    outcomes = outcomes_of(resolved, [run(OUTCOMES, resolved, index) for index in indices])
    assert (outcomes.contenders, outcomes.sizes, outcomes.seeds) == (("ViT", "CNN"), (60, 120), (0, 2))
    expected = np.ones((2, 2, 2), np.bool_)
    expected[0, 1, 1] = False
    assert np.array_equal(outcomes.done, expected)
    assert np.array_equal(outcomes.wrong, WRONG[:, :, [0, 2]] & expected[..., None])
