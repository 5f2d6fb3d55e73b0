"""Resuming a run: it keeps its settings; changed ones are refused by name, or listed as they take effect."""

import csv
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.training.resume import changes, differences
from vitrail.training.runs import keep_rows, lock
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
        ("--data.size=16", "data.size was 8 and is now 16"),
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


def copy_of(stopped: Path, run: Path, change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
    """The run in another folder, with another last checkpoint."""
    shutil.copytree(stopped.parent.parent, run)
    content = torch.load(stopped, weights_only=True)
    change(content)
    torch.save(content, run / "checkpoints/last.ckpt")
    return run


def test_another_precision_takes_effect_and_is_listed(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(stopped, tmp_path / "run")
    options = [f"--run={run}", "--resume", "--trainer.max_steps=21"]
    assert "keeps the weights themselves in 16 bits: choose bf16-mixed" in refusal(
        capsys, 2, *options, "--trainer.precision=bf16-true"
    )
    assert main(["fit", *options, "--trainer.precision=bf16-mixed"]) == 0
    assert "trainer.max_steps 20 → 21, trainer.precision None → bf16-mixed" in capsys.readouterr().out
    content = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert content["global_step"] == 21
    assert all(tensor.dtype != torch.bfloat16 for tensor in content["state_dict"].values())


def test_checkpoints_of_another_vitrail_are_refused_with_the_way_out(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--resume", "--trainer.max_steps=21"]
    later = copy_of(stopped, tmp_path / "later", lambda content: content["vitrail"].update(format=2))
    error = refusal(capsys, 1, f"--run={later}", *options)
    assert "format 2, this vitrail reads format 1: train again, or install the vitrail that wrote it" in error

    def with_another_option(content: dict[str, Any]) -> None:
        content["vitrail_settings"] = content["vitrail_settings"].replace("\nmodel:", "\nmodel:\n  unheard_of: 3")

    other = copy_of(stopped, tmp_path / "other", with_another_option)
    error = refusal(capsys, 2, f"--run={other}", *options)
    assert f"the settings in {other / 'checkpoints/last.ckpt'} are of another vitrail (" in error
    assert "unheard_of" in error
    assert "--help" not in error


def test_a_checkpoint_of_a_later_lightning_is_gone_on_with_and_said_to_be_one(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(stopped, tmp_path / "run", lambda content: content.update({"pytorch-lightning_version": "99.0.0"}))
    with pytest.warns(UserWarning, match=r"Lightning v99\.0\.0, which is newer than your current Lightning version"):
        assert main(["fit", f"--run={run}", "--resume", "--trainer.max_steps=21"]) == 0
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 21


def photos(folder: Path, classes: Sequence[str]) -> Path:
    """A few noisy images a class."""
    for part, count in (("train", 6), ("val", 3), ("test", 3)):
        for number, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                noise = Random(f"{part} {number} {index}").randbytes(300)
                Image.frombytes("RGB", (10, 10), noise).save(folder / part / name / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (["cat", "dog", "wolf"], "with another target (the first: test/wolf/0.png)"),
        (["cat", "dog", "elk", "wolf"], "new or edited (the first: test/wolf/0.png)"),
        (["cat", "dog"], "missing"),
    ],
)
def test_another_class_list_is_refused_by_its_images(
    classes: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--config=digits-cnn", "--data.batch_size=4", f"--run={tmp_path / 'run'}", "--resume"]
    steps = ["--trainer.max_steps=2", "--trainer.val_check_interval=2"]
    assert main(["fit", *options, *steps, f"--data.path={photos(tmp_path / 'before', ['cat', 'dog', 'elk'])}"]) == 0
    now = photos(tmp_path / "now", classes)
    error = refusal(capsys, 1, f"--run={tmp_path / 'run'}", "--resume", "--trainer.max_steps=4", f"--data.path={now}")
    assert reason in error
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2


def test_a_run_that_was_killed_before_its_report_has_it_written(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From its files: no image is read."""
    run = copy_of(stopped, tmp_path / "digits")
    report = (run / "report.html").read_text()
    (run / "report.html").unlink()
    monkeypatch.setattr("vitrail.training.cli.CommandLine.instantiate_classes", None)
    assert main(["fit", f"--run={run}", "--resume"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"report: {run / 'report.html'}"]
    assert "has trained 20 of 20 steps already" in captured.err
    assert (run / "report.html").read_text() == report
    assert main(["fit", f"--run={run}", "--resume"]) == 0
    assert capsys.readouterr().out == ""


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
        assert "another process trains the run in" in refusal(capsys, 2, f"--run={tmp_path / 'run'}", "--resume")
        other.kill()
    assert main(["fit", *FAST, f"--run={tmp_path / 'run'}"]) == 0


def test_a_run_that_another_process_has_ended_meanwhile_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While this one decoded its images."""

    def late(run: Path) -> None:
        run.mkdir()
        (run / "config.yaml").write_text("of the other")
        lock(run)

    monkeypatch.setattr("vitrail.training.run_cli.lock", late)
    assert "already holds a run" in refusal(capsys, 2, *FAST, f"--run={tmp_path / 'run'}")
    assert (tmp_path / "run/config.yaml").read_text() == "of the other"


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
