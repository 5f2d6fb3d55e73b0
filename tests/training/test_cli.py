"""fit, validate, test and predict through the command, on real Lightning: results, resuming, and wrong use."""

import csv
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.model_file.classifier import Classifier
from vitrail.training import data_module

from ..sources import split

FAST = ["--config", "digits-cnn", "--trainer.max_steps=20", "--trainer.val_check_interval=10", "--data.images=200"]


def fit(run: Path, *more: str) -> None:
    assert main(["fit", *FAST, f"--run={run}", *more]) == 0


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return state


def test_files_of_a_run_directory(run_directory: Path) -> None:
    files = {path.relative_to(run_directory).as_posix() for path in run_directory.rglob("*") if path.is_file()}
    assert {
        "config.yaml",
        "metrics.csv",
        "environment.json",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    } <= files
    assert any(name.startswith("events.out.tfevents") for name in files)
    environment = json.loads((run_directory / "environment.json").read_text())
    assert environment["versions"]["torch"] == version("torch")
    assert yaml.safe_load((run_directory / "config.yaml").read_text())["trainer"]["max_steps"] == 100


def test_the_checkpoint_holds_its_origin(checkpoint: Path) -> None:
    origin = torch.load(checkpoint, weights_only=True)["vitrail"]
    assert origin["classes"] == list(Digits.classes)
    assert origin["input"]["size"] == 8
    assert origin["architecture"]["class_path"] == "vitrail.models.CNN"
    assert origin["run_data"]["fingerprint"] == Digits().fingerprint
    assert {part: len(pairs) for part, pairs in origin["run_data"]["record"].items()} == {
        "train": 1151,
        "val": 287,
        "test": 359,
        "earlier": 0,
    }


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(tmp_path / name, f"--seed_everything={seed}")
    first, second, third = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["net.head.weight"], third["net.head.weight"])


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Resuming from step 10 keeps order, schedule and optimizer."""
    keep = ["pytorch_lightning.callbacks.ModelCheckpoint", "every_n_train_steps=10", "save_top_k=-1"]
    first, *others = [*keep, "filename={step}", f"dirpath={tmp_path / 'steps'}"]
    fit(tmp_path / "whole", f"--trainer.callbacks+={first}", *(f"--trainer.callbacks.{other}" for other in others))
    fit(tmp_path / "rest", f"--ckpt_path={tmp_path / 'steps/step=10.ckpt'}")
    whole, rest = weights(tmp_path / "whole"), weights(tmp_path / "rest")
    assert all(torch.equal(whole[key], rest[key]) for key in whole)


def test_test_prints_a_report_and_saves_all_predictions(
    run_directory: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", "--ckpt_path", str(checkpoint)]) == 0
    lines = capsys.readouterr().out.splitlines()
    saved = np.load(run_directory / "predictions.npz")
    hits = int((saved["probabilities"].argmax(1) == saved["labels"]).sum())
    assert lines[0].startswith(f"top-1     {hits / 359:.4f} [")
    assert lines[0].endswith(f"{hits} of 359 images")
    assert [line.split()[0] for line in lines[-12:-2]] == list(Digits.classes)
    assert lines[-1] == f"report: {run_directory / 'report.html'}"
    assert hits / 359 > 0.9
    assert np.array_equal(saved["labels"], Digits().labels("test"))


def test_validate_repeats_the_metrics_of_the_run(
    run_directory: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", f"--ckpt_path={checkpoint}"]) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    with (run_directory / "metrics.csv").open() as file:
        best = max(float(row["val_accuracy"]) for row in csv.DictReader(file) if row["val_accuracy"])
    assert float(printed["val_accuracy"]) == pytest.approx(best, abs=5e-5)


def test_predict_writes_a_row_for_every_test_image(run_directory: Path, checkpoint: Path) -> None:
    assert main(["predict", f"--ckpt_path={checkpoint}"]) == 0
    with (run_directory / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [str(label) for label in Digits().labels("test")]
    assert sum(row["class"] == row["predicted"] for row in rows) > 0.9 * 359


def test_piped_progress_is_plain_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path / "run")
    printed = capsys.readouterr()
    assert [line.split("  ")[0] for line in printed.out.splitlines()[1:3]] == ["step 10/20", "step 20/20"]
    assert "\x1b" not in printed.out + printed.err
    assert printed.err == ""


def test_augmented_runs_are_reproducible(tmp_path: Path) -> None:
    augment = ["--data.augment+=torchvision.transforms.v2.RandomHorizontalFlip"]
    for name in "ab":
        fit(tmp_path / name, *augment)
    fit(tmp_path / "plain")
    first, second, plain = (weights(tmp_path / name) for name in ("a", "b", "plain"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["net.head.weight"], plain["net.head.weight"])


@pytest.mark.parametrize(
    ("argv", "code", "reason"),
    [
        (["fit", "--config", "nothing"], 2, "there is no configuration 'nothing'"),
        (["fit", *FAST, "--data.pathh=x"], 2, "pathh"),
        (["fit", *FAST, "--data.path=nowhere"], 1, "there is no folder of images at nowhere"),
        (["fit", *FAST, "--data.images=5"], 1, "too few"),
        (["fit", *FAST, "--data.size=0"], 2, "size"),
        (["fit", *FAST, "--data.batch_size=0"], 2, "batch"),
        (["fit", *FAST, "--model.optimizer.lr=-1"], 2, "learning rate"),
        (["fit", *FAST, "--trainer.accelerator=quantum"], 2, "quantum"),
        (["fit", *FAST, "--data.resize=stretch"], 2, "resize"),
        (["fit", *FAST, "--model.net=vitrail.models.ViT", "--model.net.patch=3"], 2, "do not divide"),
        (["fit", *FAST, "--model.net.class_path=vitrail.models.RNN"], 2, "RNN"),
        (["fit", *FAST, "--ckpt_path=nowhere.ckpt"], 1, "there is no checkpoint at nowhere.ckpt"),
        (["test", "--config", "digits-cnn"], 2, "needs --ckpt_path"),
        (["validate"], 2, "ckpt_path"),
    ],
)
def test_wrong_use_is_reported_in_one_line(
    argv: list[str],
    code: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == code
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert printed[0].startswith("vitrail: ")
    assert reason in printed[0]
    assert not list(tmp_path.iterdir())


def test_a_config_of_another_command_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "export.yaml").write_text("checkpoint: best.ckpt\noutput: model.onnx\n")
    assert main(["fit", "--config", str(tmp_path / "export.yaml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_checkpoint_of_another_model_is_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--config", "digits-vit", f"--ckpt_path={checkpoint}"]) == 1
    error = capsys.readouterr().err
    assert "holds another model" in error
    assert len(error.splitlines()) == 1


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fake.ckpt").write_text("not a checkpoint")
    assert main(["test", "--config", "digits-cnn", f"--ckpt_path={tmp_path / 'fake.ckpt'}"]) == 1
    assert "is not a checkpoint written by `vitrail fit`" in capsys.readouterr().err


def test_a_damaged_image_is_named_before_a_run_directory_exists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "images" / name / f"{number}.png")
    broken = tmp_path / "images/cat/0.png"
    for file in (tmp_path / "images/cat").iterdir():
        file.write_bytes(broken.read_bytes()[:40])
    run = tmp_path / "run"
    argv = ["--config", "digits-cnn", f"--data.path={tmp_path / 'images'}", f"--run={run}"]
    assert main(["fit", *argv]) == 1
    error = capsys.readouterr().err
    assert "do not decode" in error
    assert str(tmp_path / "images/cat") in error
    assert len(error.splitlines()) == 1
    assert not run.exists()


def test_damaged_images_of_all_parts_are_named_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split(tmp_path / "images")
    damaged = ["train/cat/01.png", "val/dog/24.png", "test/cat/33.png", "test/dog/34.png"]
    for name in damaged:
        file = tmp_path / "images" / name
        file.write_bytes(file.read_bytes()[:50])
    assert (
        main(["fit", *FAST, f"--data.path={tmp_path / 'images'}", "--data.images=null", f"--run={tmp_path / 'run'}"])
        == 1
    )
    error = capsys.readouterr().err
    assert error.startswith("vitrail: 4 image(s) do not decode, repair or remove them: ")
    assert all(f"{tmp_path / 'images' / name}: " in error for name in damaged)
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_images_that_do_not_decode_may_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, run = tmp_path / "images", tmp_path / "run"
    split(images)
    for name in ("train/cat/01.png", "val/dog/24.png", "test/cat/33.png", "test/dog/34.png"):
        (images / name).write_bytes((images / name).read_bytes()[:50])
    fit(run, f"--data.path={images}", "--data.images=null", "--data.corrupt=skip")
    out = capsys.readouterr().out
    assert "left out 4 image(s) that do not decode: " in out
    assert "23 training images, 7 validation images" in out
    checkpoint = run / "checkpoints/last.ckpt"
    assert main(["predict", f"--ckpt_path={checkpoint}"]) == 0
    names = [row["image"] for row in csv.DictReader((run / "predictions.csv").open())]
    whole = [f"test/cat/{i}.png" for i in (33, 35, 37, 39)] + [f"test/dog/{i}.png" for i in (32, 34, 36, 38)]
    assert names == [name for name in whole if name[-6:-4] not in ("33", "34")]
    assert main(["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "model.onnx")]) == 0
    dataset = Classifier(tmp_path / "model.onnx", "cpu").card.dataset
    assert (dataset.train, dataset.val, dataset.test) == (23, 7, 6)


def test_images_that_are_not_kept_in_memory_train_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split(tmp_path / "images")
    folder = [f"--data.path={tmp_path / 'images'}", "--data.images=null"]
    fit(tmp_path / "resident", *folder)
    monkeypatch.setattr(data_module, "RESIDENT", 0)
    fit(tmp_path / "kept", *folder)
    fit(tmp_path / "decoded", *folder, "--data.cache=0")
    assert main(["test", f"--ckpt_path={tmp_path / 'kept/checkpoints/last.ckpt'}"]) == 0
    resident = weights(tmp_path / "resident")
    for other in ("kept", "decoded"):
        assert all(torch.equal(tensor, resident[name]) for name, tensor in weights(tmp_path / other).items())


def test_neither_workers_nor_the_cache_change_random_crops(tmp_path: Path) -> None:
    split(tmp_path / "images")
    crops = [f"--data.path={tmp_path / 'images'}", "--data.images=null", "--data.crop.scale=[0.2, 0.9]"]
    fit(tmp_path / "none", *crops, "--data.workers=0")
    fit(tmp_path / "two", *crops, "--data.workers=2", "--data.cache=0")
    fit(tmp_path / "whole", *crops, "--data.crop.scale=[1, 1]")
    first, second, whole = (weights(tmp_path / name) for name in ("none", "two", "whole"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert not all(torch.equal(tensor, whole[name]) for name, tensor in first.items())


def test_a_run_directory_is_never_overwritten(run_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run_directory / "config.yaml").read_bytes()
    assert main(["fit", *FAST, f"--run={run_directory}"]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert (run_directory / "config.yaml").read_bytes() == before


def test_runs_of_one_recipe_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["fit", *FAST, "--trainer.max_steps=2"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["digits-cnn", "digits-cnn-2"]


def test_a_run_shorter_than_the_interval_is_validated_and_its_last_step_saved(tmp_path: Path) -> None:
    fit(tmp_path / "run", "--trainer.max_steps=7", "--trainer.val_check_interval=5")
    last, best = (
        torch.load(tmp_path / f"run/checkpoints/{name}.ckpt", weights_only=True)["global_step"]
        for name in ("last", "best")
    )
    assert (last, best) == (7, 5)


@pytest.mark.parametrize("verb", ["fit", "pretrain"])
def test_full_help_shows_all_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help=all"]) == 0
    printed = capsys.readouterr().out
    for option in ("--data.path", "--trainer.max_steps", "--model.net", "--run"):
        assert option in printed
