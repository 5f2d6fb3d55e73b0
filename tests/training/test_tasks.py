"""Each task through the command: a short fit on scenes of digits, its evaluation, and wrong use."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import RandomHorizontalFlip, RandomRotation

from vitrail.cli import main
from vitrail.data import DigitScenes
from vitrail.models.checkpoint import read_checkpoint
from vitrail.models.input import channels_first
from vitrail.tasks import TASKS
from vitrail.tasks.dense.predictions import IGNORED
from vitrail.tasks.dense.training import DenseTraining
from vitrail.tasks.task import TaskName
from vitrail.training.data_module import ImageDataModule

from ..builtin_sets import EVERY_TASK, set_of

STEPS = ["--trainer.max_steps=100", "--trainer.val_check_interval=100"]
LONGER = ["--trainer.max_steps=150", "--trainer.val_check_interval=150"]
WITH_STEM = ["--trainer.max_steps=200", "--trainer.val_check_interval=200"]
# A small CNN learns regression and dense tasks faster than a ViT; multilabel uses the set head of its recipe.
SMALL = ["--model.net=vitrail.models.CNN", "--model.net.width=16", "--model.net.stages=3", "--model.net.blocks=1"]

FOR_BOXES = ["--trainer.max_steps=700", "--trainer.val_check_interval=700"]
FLIP = "--data.augment=[{class_path: vitrail.training.augmentation.HorizontalFlip}]"
OPTIONS = {"multilabel": LONGER, "sequence": WITH_STEM, "detection": FOR_BOXES}


def fit(task: TaskName, run: Path, *more: str) -> int:
    return main(["fit", "--config", f"digits-{task}", f"--run={run}", *STEPS, *more])


@pytest.fixture(
    scope="module",
    params=[
        "regression",
        pytest.param("multilabel", marks=pytest.mark.long),
        pytest.param("dense", marks=pytest.mark.long),
        pytest.param("dense-regression", marks=pytest.mark.long),
        pytest.param("sequence", marks=pytest.mark.long),
        pytest.param("detection", marks=pytest.mark.long),
    ],
)
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskName, Path]:
    run = tmp_path_factory.mktemp("tasks") / request.param
    assert fit(request.param, run, *OPTIONS.get(request.param, SMALL)) == 0
    return request.param, run / "checkpoints/best.ckpt"


# Metric and lower bound; an untrained network stays far below each.
LEAST = {
    "multilabel": ("micro-F1", 0.6),
    "regression": ("R² of digits", 0.8),
    "dense": ("mean IoU", 0.35),
    "dense-regression": ("R² of digits", 0.8),
    "sequence": ("accuracy", 0.6),
    "detection": ("AP50", 0.3),
}


def test_a_short_fit_learns(fitted: tuple[TaskName, Path], capsys: pytest.CaptureFixture[str]) -> None:
    task, checkpoint = fitted
    assert main(["test", f"--ckpt_path={checkpoint}"]) == 0
    metric, least = LEAST[task]
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(metric))
    assert float(line.removeprefix(metric).split()[0]) > least
    saved = np.load(checkpoint.parent.parent / "predictions.npz")
    predictions = saved[TASKS[task].outputs[0]]
    assert len(predictions) == len(saved["labels"]) == len(saved["names"]) == 1000


@pytest.fixture(params=EVERY_TASK)
def begun(request: pytest.FixtureRequest, task_folder: Callable[[str], Path], tmp_path: Path) -> tuple[TaskName, Path]:
    """A copy of a very short run."""
    shutil.copytree(task_folder(request.param) / "run", tmp_path / "run")
    return request.param, tmp_path / "run/checkpoints/best.ckpt"


def test_predict_writes_targets_and_predictions(begun: tuple[TaskName, Path]) -> None:
    task, checkpoint = begun
    assert main(["predict", f"--ckpt_path={checkpoint}"]) == 0
    with (checkpoint.parent.parent / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1000
    columns = {
        "multilabel": ["labels", "predicted"],
        "regression": ["digits", "digits predicted", "sum", "sum predicted"],
        "dense": ["right", "known"],
        "dense-regression": ["known digits", "MAE of digits", "known sum", "MAE of sum"],
        "sequence": ["sequence", "predicted"],
        "detection": ["boxes", "predicted"],
    }
    assert list(rows[0]) == ["image", *columns[task]]


def test_the_checkpoint_holds_its_task(begun: tuple[TaskName, Path]) -> None:
    task, checkpoint = begun
    network: Any
    network, origin = read_checkpoint(checkpoint)
    assert (origin.task, origin.run_data.name) == (task, set_of(task).name)
    if task == "regression":
        source = DigitScenes("regression")
        scenes = source.read("train", origin.input, origin.run_data.selection.chosen(source)["train"]).labels
        head = network.get_classifier()
        np.testing.assert_allclose(head.mean, scenes.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(head.deviation, scenes.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("task", "options", "reason"),
    [
        ("regression", ["--model.mixup=0.2"], "of a blend no value is known"),
        ("dense-regression", ["--model.mixup=0.2"], "of a blend no value is known"),
        ("dense-regression", ["--model.net.pool=token"], "the pool 'token' has no effect"),
        ("dense", ["--model.mixup=0.2"], "a cell of a blend has no single class"),
        ("dense", ["--model.cutmix=1"], "cutmix blends two images, and a cell"),
        ("regression", ["--model.label_smoothing=0.1"], "there are no classes here"),
        ("multilabel", ["--model.label_smoothing=0.1"], "each label here is a binary decision"),
        ("multilabel", ["--model.balance=weights"], "an image here has several labels: leave it out"),
        ("regression", ["--model.balance=sampler"], "there are no classes here"),
        ("dense", ["--model.balance=logit_adjust"], "each cell here has one of its own"),
        ("multilabel", ["--model.mixup=0.2"], "the head set matches whole labels"),
        ("regression", ["--model.net.head=set"], "the head set predicts several labels an image"),
        ("multilabel", ["--model.net.head=cosine"], "these data have several labels an image: choose linear, set"),
        ("sequence", ["--model.mixup=0.2"], "a blend shows no sequence"),
        ("sequence", ["--model.balance=weights"], "an image here has several labels: leave it out"),
        ("sequence", ["--model.net.head=linear"], "a sequence of labels an image: choose autoregressive, parallel"),
        ("sequence", ["--model.net.head={name: parallel, length: 2}"], "and the head a length of 2: give it more"),
        ("sequence", ["--model.net.head={name: parallel, length: 0}"], "length of the head parallel must be above 0"),
        ("sequence", [FLIP], "a flip turns the order of labels around: leave out HorizontalFlip"),
        ("detection", [FLIP], "do not move with their images: leave out HorizontalFlip"),
        ("detection", ["--model.cutmix=0.2"], "a blend shows no box"),
        ("detection", ["--model.net.head=linear"], "boxes with labels: choose boxes"),
        ("detection", ["--model.net.head={name: boxes, queries: 2}"], "4 boxes, and the head 2 queries: give it more"),
        ("detection", ["--data.resize=pad"], "do not move with their images: leave out resize pad"),
        ("detection", ["--data.crop.scale=[0.5,1.0]"], "leave out crop"),
        ("multilabel", ["--model.net.head=parallel"], "the head parallel predicts a sequence of labels an image"),
        ("dense", ["--model.net.pool=token"], "the pool 'token' has no effect"),
        (
            "multilabel",
            ["--model.net.head={name: set, queries: 3}"],
            "an image has 4 labels, and the head set 3 queries",
        ),
    ],
)
def test_options_that_do_not_fit_the_task_are_refused(
    task: TaskName, options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(task, tmp_path / "run", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_multilabel_trains_with_mixup_and_cutmix(tmp_path: Path) -> None:
    options = [
        "--model.mixup=0.4",
        "--model.cutmix=1",
        "--model.net.head=linear",
        "--data.images=100",
        "--model.net.depth=1",
    ]
    assert fit("multilabel", tmp_path / "run", *options, "--trainer.max_steps=3") == 0


class Training:
    """The attributes of a trainer that augmentation needs."""

    training, current_epoch = True, 0


def augmented(transform: torch.nn.Module) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    data = ImageDataModule("digit-scenes-dense", size=24, augment=[transform])
    data.trainer = Training()  # type: ignore[assignment]
    samples = data.source.read("test", data.rule, np.arange(8))
    images, maps = torch.from_numpy(samples.images), torch.from_numpy(samples.labels)
    changed, moved, _ = data.on_after_batch_transfer((channels_first(images), maps, np.arange(8)), 0)
    return samples.images, samples.labels, changed.permute(0, 2, 3, 1).numpy(), moved.numpy()


def test_maps_move_with_their_images() -> None:
    images, maps, flipped, moved = augmented(RandomHorizontalFlip(p=1.0))
    assert np.array_equal(flipped, images[:, :, ::-1])
    assert np.array_equal(moved, maps[:, :, ::-1])


def test_gaps_left_by_a_transform_are_ignored() -> None:
    _, maps, _, moved = augmented(RandomRotation((45, 45)))
    assert (moved[:, 0, 0] == IGNORED).all()
    assert set(np.unique(moved)) <= {*np.unique(maps).tolist(), IGNORED}


def test_a_batch_without_known_cells_has_no_loss() -> None:
    task, logits = DenseTraining(3, 0.0, 0.0), torch.randn(2, 2, 2, 3, requires_grad=True)
    metrics = task.validation(None, logits, torch.full((2, 4, 4), IGNORED, dtype=torch.uint8))
    metrics["val_loss"].backward()
    assert metrics["val_loss"].item() == metrics["val_accuracy"].item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_dense_loss_averages_over_known_cells() -> None:
    logits, maps = torch.randn(2, 2, 2, 3), torch.zeros(2, 4, 4, dtype=torch.uint8)
    maps[:, :2, :2] = IGNORED
    loss = DenseTraining(3, 0.0, 0.0).entropies(logits, maps).mean()
    known = -logits.log_softmax(-1)[..., 0].flatten(1)[:, 1:]
    torch.testing.assert_close(loss, known.mean())
