"""Resuming a run: it keeps its settings; changed ones are refused by name, or listed as they take effect."""

import csv
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
import torch
import yaml

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.training.resume import changes, differences
from vitrail.training.runs import keep_rows
from vitrail.training.schedule import WarmupCosine

FAST = ["--config", "digits-cnn", "--trainer.max_steps=20", "--trainer.val_check_interval=10", "--data.images=200"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of a run of 20 steps."""
    run = tmp_path_factory.mktemp("resume") / "digits"
    assert main(["fit", *FAST, f"--run={run}"]) == 0
    return run / "checkpoints" / "last.ckpt"


def refusal(capsys: pytest.CaptureFixture[str], code: int, *options: str) -> str:
    capsys.readouterr()
    assert main(["fit", *options]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--model.optimizer.lr=0.1", "model.optimizer.lr was 0.002 and is now 0.1"),
        ("--model.optimizer.weight_decay=0.5", "model.optimizer.weight_decay was 0.05 and is now 0.5"),
        ("--model.schedule.warmup=0.5", "model.schedule.warmup was not set and is now 0.5"),
        ("--model.label_smoothing=0.3", "model.label_smoothing was"),
        ("--data.batch_size=7", "data.batch_size was 128 and is now 7"),
        ("--data.images=300", "data.images was 200 and is now 300"),
        ("--seed_everything=7", "seed_everything was 0 and is now 7"),
    ],
)
def test_a_changed_setting_is_refused_by_name_with_the_way_out(
    stopped: Path, option: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refusal(capsys, 2, f"--ckpt_path={stopped}", "--trainer.max_steps=40", option)
    assert reason in error
    assert f"--model.net.pretrained {stopped} in place of --ckpt_path" in error


def test_a_finished_run_needs_more_steps(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has trained 20 of 20 steps already" in refusal(capsys, 2, f"--ckpt_path={stopped}")
    assert "20 of 10 steps already" in refusal(capsys, 2, f"--ckpt_path={stopped}", "--trainer.max_steps=10")


def test_a_recipe_does_not_lengthen_a_run(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal(capsys, 2, "--config=digits-cnn", "--data.images=200", f"--ckpt_path={stopped}")
    assert "trainer.max_steps was 20 and is now" in error
    assert "leave --config out" in error


def test_a_lengthened_run_follows_its_schedule(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = ["--trainer.callbacks+=LearningRateMonitor", "--trainer.log_every_n_steps=1"]
    options = [f"--ckpt_path={stopped}", "--trainer.max_steps=40", f"--run={tmp_path / 'on'}", *rates]
    assert main(["fit", *options]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith(f"resumed from step 20 of {stopped} with ")
    assert "trainer.max_steps 20 → 40" in line
    assert "changed trainer.callbacks" in line
    assert "trainer.log_every_n_steps None → 1" in line
    assert torch.load(tmp_path / "on/checkpoints/last.ckpt", weights_only=True)["global_step"] == 40
    with (tmp_path / "on/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["lr-AdamW/pg1"]]
    assert float(rows[0]["lr-AdamW/pg1"]) == pytest.approx(0.002 * WarmupCosine(0.1).factor(20, 40))


def test_the_configuration_of_the_run_is_used_and_the_new_run_numbered(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["fit", f"--ckpt_path={stopped}", "--trainer.max_steps=21"]) == 0
    config = yaml.safe_load((tmp_path / "runs/digits/config.yaml").read_text())
    assert (config["data"]["images"], config["trainer"]["max_steps"]) == (200, 21)


def test_a_checkpoint_without_settings_cannot_be_resumed(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(stopped, weights_only=True)
    del content["vitrail_settings"]
    torch.save(content, tmp_path / "old.ckpt")
    assert "cannot be resumed" in refusal(capsys, 2, *FAST, f"--ckpt_path={tmp_path / 'old.ckpt'}")


def test_resume_begins_a_run_goes_on_with_it_and_leaves_a_finished_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["fit", *FAST, "--trainer.max_steps=10", f"--run={tmp_path / 'run'}", "--resume"]
    assert main(again) == 0
    before = (tmp_path / "run/checkpoints/last.ckpt").read_bytes()
    assert main(again) == 0
    assert "has trained 10 of 10 steps already" in capsys.readouterr().err
    assert (tmp_path / "run/checkpoints/last.ckpt").read_bytes() == before
    assert main([*again[:1], f"--run={tmp_path / 'run'}", "--resume", "--trainer.max_steps=20"]) == 0
    assert f"resumed from step 10 of {tmp_path / 'run/checkpoints/last.ckpt'}" in capsys.readouterr().out
    with (tmp_path / "run/metrics.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file) if row["val_loss"]] == [9, 19]
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert (config["trainer"]["max_steps"], config["resume"], config["ckpt_path"]) == (20, False, None)


def test_resume_needs_its_run_and_finds_its_checkpoint(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "give --run runs/NAME" in refusal(capsys, 2, *FAST, "--resume")
    both = ["--resume", f"--run={stopped.parent.parent}", f"--ckpt_path={stopped}"]
    assert "leave --ckpt_path out" in refusal(capsys, 2, *FAST, *both)
    changed = ["--resume", f"--run={stopped.parent.parent}", "--trainer.max_steps=40", "--data.batch_size=7"]
    assert "data.batch_size was 128 and is now 7" in refusal(capsys, 2, *changed)


def test_the_same_command_goes_on_where_its_length_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`auto` became a number when the run began."""
    command = ["fit", *FAST[:1], "digits-cnn", "--data.images=200", f"--run={tmp_path / 'run'}", "--resume"]
    auto = [*command, "--trainer.max_steps=auto", "--trainer.val_check_interval=auto"]
    assert main([*auto, "--trainer.limit_train_batches=1", "--trainer.max_time=00:00:00:01"]) == 0
    content = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert 0 < content["global_step"] < 1000
    capsys.readouterr()
    assert main([*auto, "--trainer.limit_train_batches=1", "--trainer.max_time=00:00:00:01"]) == 0
    assert f"resumed from step {content['global_step']} of" in capsys.readouterr().out


def test_a_run_belongs_to_one_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    holder = (
        "import sys; from pathlib import Path; from vitrail.training.runs import lock\n"
        "lock(Path(sys.argv[1])); print(1, flush=True); input()"
    )
    with Popen([sys.executable, "-c", holder, str(tmp_path / "run")], stdin=PIPE, stdout=PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert "another process trains the run in" in refusal(capsys, 2, *FAST, f"--run={tmp_path / 'run'}")
        other.kill()
    assert main(["fit", *FAST, f"--run={tmp_path / 'run'}"]) == 0


def test_the_first_rows_of_metrics_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,val_loss\n0,\n1,0.5\n2,0.4\n3")
    assert keep_rows(path, 2) == ["step", "val_loss"]
    assert path.read_text().split() == ["step,val_loss", "0,", "1,0.5"]
    assert keep_rows(path, 9) == ["step", "val_loss"]
    assert path.read_text().split() == ["step,val_loss", "0,", "1,0.5"]


BEFORE = (
    "{data: {path: a, size: 8}, trainer: {max_steps: 5, devices: 1}, model: {net: {class_path: A, init_args: {w: 1}}}}"
)


def test_differences_are_found_at_any_depth() -> None:
    now = "{data: {path: b, size: 8}, trainer: {max_steps: 5}, model: {net: {class_path: A, init_args: {w: 2, d: []}}}}"
    assert differences(BEFORE, BEFORE) == {}
    assert differences("{a: null}", "{a: {b: 1}}") == {"a.b": ("not set", 1)}
    assert differences(BEFORE, now) == {
        "data.path": ("a", "b"),
        "trainer.devices": (1, "not set"),
        "model.net.init_args.w": (1, 2),
        "model.net.init_args.d": ("not set", []),
    }


def test_effective_changes_are_listed_and_others_refused() -> None:
    free = {
        "data.path": ("a", "b"),
        "data.duplicates": ("refuse", "allow"),
        "run": (None, "r"),
        "trainer.devices": (1, 2),
    }
    assert changes("c.ckpt", free, ()) == ["trainer.devices 1 → 2"]
    assert changes("c.ckpt", {"trainer.max_steps": (5, 9)}, ["trainer.max_steps"]) == ["trainer.max_steps 5 → 9"]
    assert changes("c.ckpt", {"model.net.init_args.pretrained": (True, False)}, ()) == []
    with pytest.raises(UsageError, match=r"model\.net\.pretrained was False and is now x\.ckpt"):
        changes("c.ckpt", {"model.net.init_args.pretrained": (False, "x.ckpt")}, ())
    with pytest.raises(UsageError, match=r"for a longer run give --trainer\.max_steps NUMBER too"):
        changes("c.ckpt", {"trainer.max_steps": (5, 9)}, ())
