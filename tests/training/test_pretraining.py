"""`vitrail pretrain` through the command: unlabelled images, resuming, fine-tuning, leaks, and wrong use."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vitrail.cli import main
from vitrail.data import open_source
from vitrail.models import ViT
from vitrail.models.checkpoint import load_checkpoint, read_checkpoint
from vitrail.training.data_module import ImageDataModule

from ..sources import draw_images, pile, split

SIZES: dict[str, Any] = {"patch": 2, "width": 16, "depth": 2, "heads": 2}
NET = {"class_path": "vitrail.models.ViT", "init_args": SIZES}
TRAINER = {"max_steps": 6, "val_check_interval": 3, "check_val_every_n_epoch": None}


def recipe(file: Path, **more: Any) -> Path:
    """A small ViT on images of 8 pixels, in a file."""
    data = {"path": "digits", "size": 8, "batch_size": 8, **more}
    adam = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.005}}
    settings = {"trainer": TRAINER, "model": {"net": NET, "optimizer": adam}, "data": data}
    file.write_text(yaml.safe_dump(settings))
    return file


def pretrain(folder: Path, run: str, *options: str, **data: Any) -> int:
    config = recipe(folder / f"{run}.yaml", **data)
    return main(["pretrain", "--config", str(config), f"--run={folder / run}", *options])


def fit(folder: Path, run: str, *options: str, **data: Any) -> int:
    config = recipe(folder / f"{run}.yaml", **data)
    return main(["fit", "--config", str(config), f"--run={folder / run}", *options])


def checkpoint(folder: Path, run: str, name: str = "best") -> Path:
    return folder / run / "checkpoints" / f"{name}.ckpt"


def state(folder: Path, run: str) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(checkpoint(folder, run, "last"), weights_only=True)["state_dict"]
    return weights


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(one, second[name]) for name, one in first.items())


def losses(run: Path) -> list[float]:
    rows = csv.DictReader((run / "metrics.csv").read_text().splitlines())
    return [float(row["val_loss"]) for row in rows if row.get("val_loss")]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on the digits, called first."""
    folder = tmp_path_factory.mktemp("pretrained")
    options = ["--trainer.max_steps=60", "--trainer.val_check_interval=20", "--data.batch_size=64"]
    assert pretrain(folder, "first", *options) == 0
    return folder


def test_the_reconstruction_error_falls(pretrained: Path) -> None:
    """A mean of zero has a loss of 11 / 12: patches of 12 numbers have a variance of 1, of N - 1."""
    found = losses(pretrained / "first")
    assert len(found) == 3
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.7 < 11 / 12


def test_the_record_holds_the_images_of_the_run(pretrained: Path) -> None:
    origin, weights = load_checkpoint(checkpoint(pretrained, "first"))
    assert origin.classes == ()
    assert {part: len(pairs) for part, pairs in origin.run_data.record.parts.items()} == {
        "train": 1151,
        "val": 287,
        "test": 359,
    }
    assert weights.keys() == ViT(**SIZES).build(0, 8).state_dict().keys()


@pytest.mark.parametrize("classes", [2, 10])
def test_fine_tuning_starts_from_the_encoder_bit_for_bit_with_a_new_head(classes: int, pretrained: Path) -> None:
    path = checkpoint(pretrained, "first")
    network, _ = read_checkpoint(path)
    encoder = network.state_dict()
    torch.manual_seed(3)
    new = ViT(**SIZES).build(classes, 8).state_dict()
    torch.manual_seed(3)
    started = ViT(**SIZES, pretrained=str(path)).build(classes, 8).state_dict()
    head = {name: new[name] for name in ("head.weight", "head.bias")}
    assert equal(started, encoder | head)
    assert not torch.equal(started["blocks.0.attn.qkv.weight"], new["blocks.0.attn.qkv.weight"])


def test_a_flat_folder_is_pretrained_on_and_a_resumed_run_is_the_same_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three steps an epoch: it is resumed in the second, which has masks of its own."""
    images = tmp_path / "images"
    draw_images(images, [f"{i:02d}.png" for i in range(30)])
    keep = ["pytorch_lightning.callbacks.ModelCheckpoint", "every_n_train_steps=3", "save_top_k=-1"]
    first, *others = [*keep, "filename={step}", f"dirpath={tmp_path / 'steps'}"]
    options = [f"--trainer.callbacks+={first}", *(f"--trainer.callbacks.{other}" for other in others)]
    assert pretrain(tmp_path, "whole", *options, path=str(images)) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'whole'}: 25 training images, 5 validation images" in out
    assert out.endswith(f"next: vitrail fit --config YOURS --model.net.pretrained {checkpoint(tmp_path, 'whole')}\n")
    rest = [f"--config={tmp_path / 'whole.yaml'}", f"--ckpt_path={tmp_path / 'steps/step=3.ckpt'}"]
    assert main(["pretrain", *rest, f"--run={tmp_path / 'rest'}"]) == 0
    assert equal(state(tmp_path, "rest"), state(tmp_path, "whole"))
    assert losses(tmp_path / "rest") == losses(tmp_path / "whole")[1:]


def test_workers_change_nothing(tmp_path: Path) -> None:
    images = tmp_path / "images"
    draw_images(images, [f"{i:02d}.png" for i in range(30)])
    for workers in (0, 2):
        run = f"by-{workers}"
        assert pretrain(tmp_path, run, path=str(images), workers=workers, crop={"scale": [0.5, 1.0]}) == 0
    assert equal(state(tmp_path, "by-0"), state(tmp_path, "by-2"))


def test_test_images_are_not_decoded_and_labels_are_ignored(tmp_path: Path) -> None:
    images = tmp_path / "images"
    split(images)
    for file in (images / "test").rglob("*.png"):
        file.write_bytes(file.name.encode())
    renamed = tmp_path / "renamed"
    shutil.copytree(images, renamed)
    for folder in [*renamed.glob("*/cat"), *renamed.glob("*/dog")]:
        folder.rename(folder.with_name(f"a {folder.name}"))
    for run, path in (("first", images), ("second", renamed)):
        assert pretrain(tmp_path, run, path=str(path)) == 0
    assert equal(state(tmp_path, "first"), state(tmp_path, "second"))


def test_fit_refuses_test_images_that_pretraining_has_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With another split they would be in the test part; with the same one they are not."""
    images = tmp_path / "images"
    pile(images)
    assert pretrain(tmp_path, "first", path=str(images)) == 0
    start = f"--model.net.init_args.pretrained={checkpoint(tmp_path, 'first')}"
    capsys.readouterr()
    assert fit(tmp_path, "other", start, path=str(images), seed=1) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "test images were trained or validated on by the run" in line
    assert "whose weights this one starts from" in line
    assert not (tmp_path / "other").exists()
    assert fit(tmp_path, "same", start, path=str(images)) == 0
    earlier = load_checkpoint(checkpoint(tmp_path, "same"))[0].run_data.record.earlier
    source = open_source(str(images), 0)
    assert earlier.tolist() == sorted(key for part in ("train", "val") for key in source.contents(part).images.tolist())


def test_fit_refuses_test_images_that_lay_in_a_flat_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pile(tmp_path / "images")
    (tmp_path / "flat").mkdir()
    for file in (tmp_path / "images").rglob("*.png"):
        shutil.copy(file, tmp_path / "flat")
    assert pretrain(tmp_path, "first", path=str(tmp_path / "flat")) == 0
    start = f"--model.net.init_args.pretrained={checkpoint(tmp_path, 'first')}"
    assert fit(tmp_path, "second", start, path=str(tmp_path / "images")) == 1
    assert "8 of 8 test images were trained or validated on" in capsys.readouterr().err


def test_a_subset_is_that_of_fit(tmp_path: Path) -> None:
    assert pretrain(tmp_path, "first", images=60, draw=1) == 0
    run_data = load_checkpoint(checkpoint(tmp_path, "first"))[0].run_data
    record = ImageDataModule("digits", 8, images=60, draw=1).run_data.record
    assert (run_data.record.parts["train"] == record.parts["train"]).all()


@pytest.mark.parametrize("verb", ["test", "validate", "predict", "fit", "export"])
def test_commands_that_need_classes_refuse_a_pretrained_network(
    verb: str, pretrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoint(pretrained, "first")
    assert main([verb, f"--{'checkpoint' if verb == 'export' else 'ckpt_path'}={path}"]) == 1
    assert capsys.readouterr().err == (
        f"vitrail: {path} was pretrained without labels and predicts no class: start a run from its weights, "
        f"vitrail fit --model.net.pretrained {path}\n"
    )


def test_pretrain_continues_no_run_of_fit(run_directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_directory / "checkpoints/last.ckpt"
    assert main(["pretrain", f"--ckpt_path={path}"]) == 1
    assert capsys.readouterr().err == (
        f"vitrail: {path} was trained with labels: start from its weights, --model.net.pretrained {path} in place of "
        "--ckpt_path\n"
    )


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--model.mask_ratio=0"], 2, "a mask_ratio of 0.0 masks 0 of 16 patches"),
        (["--model.mask_ratio=1"], 2, "a mask_ratio of 1.0 masks 16 of 16 patches"),
        (["--model.net.init_args.patch=3"], 2, "patches of 3 do not divide an image of 8"),
        (["--model.net=vitrail.models.CNN"], 2, "a CNN has no patches that could be masked"),
        (["--model.label_smoothing=0.1"], 2, "`vitrail pretrain --help`"),
        (["--data.path=none"], 1, "there is no folder of images at none"),
        (["--data.path=empty"], 1, "there are no images in empty"),
        (["--ckpt_path=none.ckpt"], 1, "there is no checkpoint at none.ckpt"),
    ],
)
def test_wrong_use_is_one_line(
    options: list[str],
    code: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert pretrain(tmp_path, "run", *options) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vitrail: ")
    assert reason in line
    assert not Path("run").exists()
