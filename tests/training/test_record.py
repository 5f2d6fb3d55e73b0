"""The images of a run: no command evaluates a network on images that it was trained on, whatever changed since."""

import os
import shutil
from collections.abc import Callable
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitrail.cli import main
from vitrail.data import open_source
from vitrail.data.selection import Selection
from vitrail.data.source import PARTS
from vitrail.errors import DataError
from vitrail.exporting.calibration import fit_temperature
from vitrail.exporting.model_file import images_of_run, source_of
from vitrail.model_file.classifier import Classifier
from vitrail.models import CNN
from vitrail.models.checkpoint import Origin, RunData, load_checkpoint
from vitrail.training.data_module import ImageDataModule

from ..sources import FOLDERS, draw_images, pile, split

TINY = ["--config", "digits-cnn", "--model.net.width=8", "--model.net.stages=2", "--model.net.blocks=1"]
STEPS = ["--trainer.max_steps=2", "--trainer.val_check_interval=2", "--data.batch_size=8"]


@pytest.fixture
def fitted(tmp_path: Path) -> Callable[..., Path]:
    """Fit a tiny network on a set of this kind, and return the folder of the set; the run is beside it."""

    def fit(write: Callable[[Path], None], *more: str) -> Path:
        folder = tmp_path / "images"
        folder.mkdir()
        write(folder)
        argv = ["fit", *TINY, *STEPS, f"--data.path={folder}", f"--run={tmp_path / 'run'}", *more]
        assert main(argv) == 0
        return folder

    return fit


def checkpoint_of(folder: Path) -> Path:
    return folder.parent / "run/checkpoints/best.ckpt"


def run(verb: str, folder: Path, *more: str) -> int:
    if verb == "export":
        argv = [f"--checkpoint={checkpoint_of(folder)}", f"--output={folder.parent / 'model.onnx'}"]
    else:
        argv = [f"--ckpt_path={checkpoint_of(folder)}"]
    return main([verb, *argv, *more])


def refused_by_export(folder: Path) -> str:
    """Why `vitrail export` refuses the images in this folder, before it exports anything."""
    origin, _ = load_checkpoint(checkpoint_of(folder))
    try:
        images_of_run(origin, source_of(origin, str(folder)), str(folder))
    except DataError as refused:
        return str(refused)
    return ""


def add_images(folder: Path) -> None:
    names = [f"cat/new{i:02d}.png" for i in range(10)]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(1000 + number).integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)


def test_images_added_to_a_pile_are_refused_by_every_command(
    fitted: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """All files are split again, so some training images move to the test part."""
    folder = fitted(pile)
    before = {part: set(open_source(str(folder), 0).contents(part).images.tolist()) for part in PARTS}
    add_images(folder)
    after = open_source(str(folder), 0).contents("test")
    leaked = [image in before["train"] | before["val"] for image in after.images.tolist()]
    first = after.names[leaked.index(True)]
    assert sum(leaked) > 3
    for verb in ("test", "predict", "export"):
        capsys.readouterr()
        assert run(verb, folder) == 1
        error = capsys.readouterr().err
        assert error == (
            f"vitrail: {sum(leaked)} of 10 test images were trained or validated on by the run (the first: {first}): "
            f"files at {folder} were added, removed, renamed, moved or edited since. Restore them, name an unchanged "
            "copy with --data.path, or train again with `vitrail fit`\n"
        )
    assert run("validate", folder) == 1
    assert "validation images were trained on by the run" in capsys.readouterr().err
    assert not (folder.parent / "model.onnx").exists()


CHANGES: dict[str, tuple[Callable[[Path], object], str | None, str | None]] = {
    # What is done to a set whose parts are folders; why `test` refuses it, and why `export` does.
    "nothing": (lambda folder: None, None, None),
    "touched": (lambda folder: next((folder / "test/cat").iterdir()).touch(), None, None),
    "renamed": (lambda folder: (folder / "test/cat/33.png").rename(folder / "test/cat/0.png"), None, None),
    "edited": (
        lambda folder: spoil(folder / "test/cat/33.png"),
        "the test images are not those of this run: 1 new or edited (the first: test/cat/33.png), 1 missing",
        "1 new or edited",
    ),
    "deleted": (lambda folder: (folder / "test/cat/33.png").unlink(), "not those of this run: 1 missing:", "1 missing"),
    "moved to another class": (
        lambda folder: (folder / "test/cat/33.png").rename(folder / "test/dog/33.png"),
        "1 with another target (the first: test/dog/33.png):",
        "1 with another target",
    ),
    "copied from train": (
        lambda folder: shutil.copy(folder / "train/cat/01.png", folder / "test/cat/01.png"),
        "1 of 9 test images were trained or validated on by the run (the first: test/cat/01.png):",
        "1 of 9 test images",
    ),
    "a validated one moved to test": (
        lambda folder: (folder / "val/cat/25.png").rename(folder / "test/cat/25.png"),
        "1 of 9 test images were trained or validated on by the run (the first: test/cat/25.png):",
        "1 of 9 test images",
    ),
    "validation edited": (
        lambda folder: spoil(folder / "val/cat/25.png"),
        None,
        "the validation images are not those of this run: 1 new or edited (the first: val/cat/25.png), 1 missing",
    ),
    "training images added": (
        lambda folder: Image.new("RGB", (4, 4)).save(folder / "train/cat/new.png"),
        None,
        None,
    ),
}


def spoil(file: Path) -> None:
    """Other pixels, in a file of the same length and time of change."""
    status, content = file.stat(), file.read_bytes()
    Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    file.write_bytes(file.read_bytes().ljust(len(content), b"\0"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture(scope="module")
def split_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run on a set whose parts are folders."""
    folder = tmp_path_factory.mktemp("split")
    (folder / "images").mkdir()
    split(folder / "images")
    assert main(["fit", *TINY, *STEPS, f"--data.path={folder / 'images'}", f"--run={folder / 'run'}"]) == 0
    return folder


@pytest.mark.parametrize(("change", "by_test", "by_export"), CHANGES.values(), ids=CHANGES.keys())
def test_images_must_match_the_record_of_the_run(
    change: Callable[[Path], object],
    by_test: str | None,
    by_export: str | None,
    split_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, unchanged = split_run / "images", tmp_path / "unchanged"
    shutil.copytree(folder, unchanged)
    try:
        change(folder)
        capsys.readouterr()
        assert run("test", folder) == (0 if by_test is None else 1)
        error = capsys.readouterr().err
        assert (by_test or "") in error
        assert len(error.splitlines()) == (0 if by_test is None else 1)
        assert (by_export or "") in refused_by_export(folder)
        assert bool(refused_by_export(folder)) == bool(by_export)
    finally:
        shutil.rmtree(folder)
        shutil.copytree(unchanged, folder)


def test_a_run_may_be_evaluated_on_unseen_images(
    split_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On an unchanged copy, or on new images; export accepts only the run's own set."""
    run_folder, new = split_run / "images", tmp_path / "new"
    shutil.copytree(run_folder, tmp_path / "copy")
    draw_images(new, [f"{part}/{name}/{i}.png" for part in PARTS for name in ("cat", "dog") for i in range(3)])
    for i, file in enumerate(sorted(new.rglob("*.png"))):
        Image.fromarray(np.full((4, 4, 3), 200 + i, np.uint8)).save(file)
    for folder in (tmp_path / "copy", new):
        for verb in ("test", "validate", "predict"):
            assert run(verb, run_folder, f"--data.path={folder}") == 0
    assert not refused_by_export(run_folder)
    origin, _ = load_checkpoint(checkpoint_of(run_folder))
    with pytest.raises(DataError, match="the test images are not those of this run: 6 new or edited"):
        images_of_run(origin, source_of(origin, str(new)), str(new))
    shutil.copy(run_folder / "val/cat/25.png", new / "test/cat/seen.png")
    capsys.readouterr()
    assert run("test", run_folder, f"--data.path={new}") == 1
    assert capsys.readouterr().err == (
        "vitrail: 1 of 7 test images were trained or validated on by the run (the first: test/cat/seen.png): "
        "evaluate it on images that it has not seen\n"
    )


@pytest.mark.parametrize("names", [("cat", "cow"), ("cat", "cow", "dog")])
def test_a_run_is_not_evaluated_on_other_classes(
    names: tuple[str, ...], split_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_images(tmp_path / "new", [f"{part}/{name}/{i}.png" for part in PARTS for name in names for i in range(3)])
    capsys.readouterr()
    assert run("test", split_run / "images", f"--data.path={tmp_path / 'new'}", "--data.duplicates=allow") == 1
    here = f"{tmp_path / 'new'}: its {len(names)} classes ({'; '.join(names)})"
    assert capsys.readouterr().err == f"vitrail: {here} are not the 2 of the run (cat; dog)\n"


def repeating(folder: Path) -> None:
    """A set with a training image in its test part, one under two labels, and one twice in a part."""
    split(folder)
    shutil.copy(folder / "train/cat/01.png", folder / "test/cat/twin.png")
    shutil.copy(folder / "train/cat/01.png", folder / "train/dog/twin.png")
    shutil.copy(folder / "test/cat/33.png", folder / "test/cat/again.png")


def test_duplicates_across_parts_are_refused_before_a_run_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repeating(tmp_path)
    assert main(["fit", *TINY, *STEPS, f"--data.path={tmp_path}", f"--run={tmp_path / 'run'}"]) == 1
    message = "1 of 10 test images are training images too (the first: test/cat/twin.png is train/cat/01.png)"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_duplicates_in_the_original_set_are_accepted(fitted: Callable[..., Path]) -> None:
    folder = fitted(repeating, "--data.duplicates=allow")
    assert run("test", folder) == 0
    assert run("validate", folder) == 0
    assert not refused_by_export(folder)


@pytest.mark.parametrize("option", ["--data.seed=1", "--data.images=20", "--data.draw=2"])
def test_other_options_of_the_data_are_named(
    option: str, fitted: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fitted(pile, "--data.images=24")
    name, _, value = option.partition("=")
    verb = "test" if name == "--data.seed" else "validate"
    assert run(verb, folder, option) == 1
    assert f": {name} is {value}, the run's {24 if 'images' in name else 0}\n" in capsys.readouterr().err


def test_a_run_is_not_resumed_on_other_images(fitted: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = fitted(pile)
    add_images(folder)
    argv = [*TINY, *STEPS, f"--data.path={folder}", f"--run={folder.parent / 'more'}", "--trainer.max_steps=4"]
    assert main(["fit", *argv, f"--ckpt_path={checkpoint_of(folder)}"]) == 1
    assert "test images were trained or validated on by the run" in capsys.readouterr().err


def test_every_option_that_decides_which_images_a_run_uses_is_recorded() -> None:
    """A new option must be added to `Selection`, or here if it chooses no images."""
    others = {
        "size",
        "resize",
        "patch",
        "patches",
        "crop",
        "batch_size",
        "augment",
        "cache",
        "workers",
        "duplicates",
        "corrupt",
    }
    decided = set(signature(Selection).parameters) - {"skipped"}  # which corrupt images `corrupt` leaves out
    assert set(signature(ImageDataModule).parameters) - others == decided


@pytest.mark.parametrize("kind", [*FOLDERS, "digits", "digit-scenes-multilabel"])
@pytest.mark.parametrize("draw", [0, 3])
def test_export_calibrates_on_the_runs_own_validation_images(kind: str, draw: int, tmp_path: Path) -> None:
    path = kind
    if kind in FOLDERS:
        FOLDERS[kind](tmp_path)
        path = str(tmp_path)
    data = ImageDataModule(path, size=8, images=20, seed=1, draw=draw)
    run_data = RunData.from_plain(data.run_data.to_plain())
    origin = Origin(CNN(), data.rule, data.classes, run_data, 0, data.task)
    val, test, _ = images_of_run(origin, open_source(path, 1), None)
    assert val.names == data.part("val").names
    assert len(val) < len(open_source(path, 1).labels("val"))
    assert np.array_equal(val.images, data.part("val").images)
    assert test.names == data.part("test").names


def test_the_temperature_of_a_subset_is_that_of_its_own_validation_images(tmp_path: Path) -> None:
    subset = ["--data.images=60", "--data.draw=3"]
    run_folder, output = tmp_path / "run", tmp_path / "model.onnx"
    assert main(["fit", *TINY, *STEPS, *subset, "--trainer.max_steps=20", f"--run={run_folder}"]) == 0
    assert main(["export", f"--checkpoint={run_folder}/checkpoints/best.ckpt", f"--output={output}"]) == 0
    model = Classifier(output, "cpu")
    val = ImageDataModule(size=8, images=60, draw=3).part("val")
    other = ImageDataModule(size=8, images=60).part("val")
    temperatures = [fit_temperature(model.predict(part.images).logits, part.labels) for part in (val, other)]
    assert model.card.calibration is not None
    assert model.card.calibration.temperature == pytest.approx(temperatures[0], rel=1e-4)
    assert temperatures[0] != pytest.approx(temperatures[1], rel=1e-3)
    dataset = model.card.dataset
    assert (dataset.train, dataset.val, dataset.test, dataset.images, dataset.draw) == (48, 12, 359, 60, 3)


def test_the_record_is_plain_and_small(split_run: Path) -> None:
    stored = torch.load(split_run / "run/checkpoints/best.ckpt", weights_only=True)["vitrail"]["run_data"]
    assert {part: (pairs.dtype, pairs.shape) for part, pairs in stored["record"].items()} == {
        "train": (torch.int64, (24, 2)),
        "val": (torch.int64, (8, 2)),
        "test": (torch.int64, (8, 2)),
        "earlier": (torch.int64, (0,)),
    }


def test_a_source_without_recorded_images_is_refused(split_run: Path, tmp_path: Path) -> None:
    draw_images(tmp_path, [f"{part}/{name}/{i}.png" for part in PARTS for name in ("cat", "dog") for i in range(3)])
    data = ImageDataModule(str(split_run / "images"), size=8)
    with pytest.raises(DataError, match="test images"):
        data.run_data.refuse_contradiction(open_source(str(tmp_path), 0), Selection(str(tmp_path)), ["test"])


def test_training_images_of_an_earlier_run_are_refused_in_the_test_part_after_a_warm_start(
    split_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also along a chain of runs: the second records the training images of the first."""
    folder = tmp_path / "second"
    draw_images(folder, [f"{part}/{name}/{i}.png" for part in PARTS for name in ("cat", "dog") for i in range(50, 53)])
    for i, file in enumerate(sorted(folder.rglob("*.png"))):
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(file)
    first = split_run / "run/checkpoints/best.ckpt"
    second, third = tmp_path / "run2", tmp_path / "run3"
    argv = ["fit", *TINY, *STEPS, f"--data.path={folder}"]
    assert main([*argv, f"--run={second}", f"--model.net.pretrained={first}"]) == 0
    run_data = load_checkpoint(second / "checkpoints/best.ckpt")[0].run_data
    assert run_data.record.earlier.tolist() == sorted(
        key for part in ("train", "val") for key in open_source(str(split_run / "images"), 0).contents(part).images
    )
    shutil.copy(split_run / "images/val/cat/25.png", folder / "test/cat/seen.png")
    capsys.readouterr()
    for start in (first, second / "checkpoints/best.ckpt"):
        assert main([*argv, f"--run={third}", f"--model.net.pretrained={start}"]) == 1
        assert capsys.readouterr().err == (
            "vitrail: 1 of 7 test images were trained or validated on by the run (the first: test/cat/seen.png), "
            "whose weights this one starts from: choose others, or another test part\n"
        )
        assert not third.exists()
