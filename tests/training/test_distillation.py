"""Distillation: its loss by hand, a teacher that stays as it is and apart, and teachers that are refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax
from torch import Tensor

from vitrail.cli import main
from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.models import CNN, ViT
from vitrail.models.checkpoint import load_checkpoint, read_checkpoint
from vitrail.models.input import Input
from vitrail.training.augmentation import MixUp
from vitrail.training.cli import run
from vitrail.training.data_module import ImageDataModule
from vitrail.training.distillation import Distillation, Teacher, digest_of
from vitrail.training.module import ImageModule

STUDENT: dict[str, Any] = {"patch": 2, "width": 16, "depth": 1, "heads": 2}
NET = [f"--model.net.{name}={value}" for name, value in STUDENT.items()]
FIT = ["fit", "--config=digits-vit", *NET, "--data.images=200"]
STEPS = ["--trainer.max_steps=8", "--trainer.val_check_interval=4"]


def logits(seed: int) -> Tensor:
    return 3 * torch.randn(4, 10, generator=torch.Generator().manual_seed(seed))


def test_soft_targets_by_hand() -> None:
    student, teacher, temperature = logits(1), logits(2), 3.0
    followed, softened = (log_softmax(one.double().numpy() / temperature, axis=1) for one in (student, teacher))
    expected = temperature**2 * (np.exp(softened) * (softened - followed)).sum(axis=1)
    losses = Distillation("", temperature=temperature).losses(student, teacher)
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-5)
    assert Distillation("").losses(teacher, teacher).abs().max() < 1e-6


def test_hard_targets_by_hand() -> None:
    student, teacher = logits(1), logits(2)
    likeliest = teacher.numpy().argmax(axis=1)
    expected = -log_softmax(student.double().numpy(), axis=1)[np.arange(4), likeliest]
    losses = Distillation("", temperature=9.0, hard=True).losses(student, teacher)
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-5)


@pytest.fixture(scope="module")
def data() -> ImageDataModule:
    return ImageDataModule(size=8, images=200)


def module(**options: Any) -> ImageModule:
    torch.manual_seed(0)
    return ImageModule(ViT(**STUDENT), 10, 8, **options)


def batch(data: ImageDataModule) -> tuple[Tensor, Tensor]:
    part = data.part("train")
    return torch.from_numpy(part.images[:16]).permute(0, 3, 1, 2), torch.from_numpy(part.labels[:16])


@pytest.mark.parametrize("mix", [None, MixUp(0.4, num_classes=10)], ids=["plain", "mixup"])
def test_the_loss_of_a_batch_is_the_weighted_sum(data: ImageDataModule, checkpoint: Path, mix: MixUp | None) -> None:
    """The teacher normalises the same pixels, blended ones too, by its own statistics; weights count for both parts."""
    taught = module(label_smoothing=0.1)
    taught.normalise_by((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    taught.teacher = Teacher(Distillation(str(checkpoint), weight=0.3, temperature=2.0), data)
    image, target = batch(data)
    pixels, theirs = taught.input.normalised(image), Input(read_checkpoint(checkpoint)[1].input).normalised(image)
    if mix is not None:
        draws = Draws.of(0, 0, np.arange(16))
        (pixels, shares), (theirs, _) = mix(pixels, target, draws), mix(theirs, target, draws)
        target = shares
    weights = torch.rand(16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        student, teacher = taught.net(pixels), read_checkpoint(checkpoint)[0](theirs)
        loss = taught.teacher.loss(taught.training_task, taught.net, pixels, target, weights, taught.input)
    own = F.cross_entropy(student, target, label_smoothing=0.1, reduction="none")
    divergence = F.kl_div((student / 2).log_softmax(1), (teacher / 2).softmax(1), reduction="none").sum(1)
    torch.testing.assert_close(loss, ((0.7 * own + 0.3 * 4 * divergence) * weights).mean(), atol=1e-5, rtol=1e-5)


def test_without_a_teacher_the_loss_is_the_cross_entropy_to_the_last_bit(data: ImageDataModule) -> None:
    alone = module(label_smoothing=0.1)
    image, target = batch(data)
    logged: list[Tensor] = []
    alone.log = lambda name, value, **_: logged.append(value)  # type: ignore[method-assign]
    loss = alone.training_step((image, target, np.arange(16)), 0)
    expected = F.cross_entropy(alone(image), target, label_smoothing=0.1, reduction="none").mean()
    assert torch.equal(loss, expected)
    assert logged == [loss]


def test_the_teacher_is_neither_trained_nor_stored(data: ImageDataModule, checkpoint: Path, tmp_path: Path) -> None:
    """A CNN, whose BatchNorm would change in training mode; the student has the keys of one without a teacher."""
    argv = [*FIT, *STEPS, f"--model.distillation.teacher={checkpoint}", f"--run={tmp_path / 'run'}"]
    teacher = run("fit", argv[1:]).model.teacher
    assert teacher is not None
    before = load_checkpoint(checkpoint)[1]
    assert all(torch.equal(value, before[name]) for name, value in teacher.network.state_dict().items())
    assert not any(
        one.grad is not None or one.requires_grad or one.is_inference() for one in teacher.network.parameters()
    )
    assert not any(one.training for one in teacher.network.modules())
    content = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert content["state_dict"].keys() == module().state_dict().keys()
    (state,) = content["optimizer_states"]
    trained = sum(len(group["params"]) for group in state["param_groups"])
    assert trained == len(list(module().parameters()))
    assert content["vitrail"]["teacher"] == digest_of(checkpoint)


def test_a_run_records_what_its_teacher_has_seen(checkpoint: Path, tmp_path: Path) -> None:
    options = [f"--model.distillation.teacher={checkpoint}", f"--run={tmp_path / 'run'}"]
    assert main([*FIT, *STEPS, *options]) == 0
    run_data = load_checkpoint(tmp_path / "run/checkpoints/best.ckpt")[0].run_data
    seen = load_checkpoint(checkpoint)[0].run_data.record.seen("test")
    assert len(seen) > 1000
    assert np.array_equal(run_data.record.earlier, seen)


def test_only_training_needs_the_teachers_file(checkpoint: Path, tmp_path: Path) -> None:
    teacher = Path(shutil.copy(checkpoint, tmp_path / "teacher.ckpt"))
    assert main([*FIT, *STEPS, f"--model.distillation.teacher={teacher}", f"--run={tmp_path / 'run'}"]) == 0
    teacher.unlink()
    assert main(["test", f"--ckpt_path={tmp_path / 'run/checkpoints/best.ckpt'}"]) == 0


def weights_of(run: Path) -> dict[str, Tensor]:
    return load_checkpoint(run / "checkpoints/last.ckpt")[1]


def test_a_resumed_run_needs_the_same_teacher_anywhere(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = ["--trainer.callbacks+=pytorch_lightning.callbacks.ModelCheckpoint", "--trainer.callbacks.save_top_k=-1"]
    steps = [f"--trainer.callbacks.dirpath={tmp_path}", "--trainer.callbacks.every_n_train_steps=4"]
    taught = [f"--model.distillation.teacher={checkpoint}", "--model.distillation.hard=true"]
    named = "--trainer.callbacks.filename={step}"
    assert main([*FIT, *STEPS, *taught, *keep, *steps, named, f"--run={tmp_path / 'whole'}"]) == 0
    moved = shutil.copy(checkpoint, tmp_path / "moved.ckpt")
    resumed = [*FIT, *STEPS, f"--ckpt_path={tmp_path / 'step=4.ckpt'}", "--model.distillation.hard=true"]
    assert main([*resumed, f"--model.distillation.teacher={moved}", f"--run={tmp_path / 'rest'}"]) == 0
    whole, rest = weights_of(tmp_path / "whole"), weights_of(tmp_path / "rest")
    assert all(torch.equal(whole[name], rest[name]) for name in whole)
    capsys.readouterr()
    other = checkpoint.with_name("last.ckpt")
    assert main([*resumed, f"--model.distillation.teacher={other}", f"--run={tmp_path / 'more'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vitrail: {other} is not the teacher that this run had before: give that file as --model.")
    assert not (tmp_path / "more").exists()


def test_images_that_the_teacher_has_seen_are_refused_in_the_test_part(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With another seed other digits are test images."""
    options = [f"--model.distillation.teacher={checkpoint}", "--data.seed=1", f"--run={tmp_path / 'run'}"]
    assert main([*FIT, *STEPS, *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert " of 359 test images were trained or validated on by the run (the first: " in line
    assert line.endswith("), which teaches this one: choose another teacher, or another test part")
    assert not (tmp_path / "run").exists()


def changed(checkpoint: Path, folder: Path, **origin: Any) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    content["vitrail"].update(origin)
    torch.save(content, folder / "changed.ckpt")
    return folder / "changed.ckpt"


def test_a_teacher_of_other_classes_is_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = changed(checkpoint, tmp_path, classes=list("9876543210"))
    assert main([*FIT, *STEPS, f"--model.distillation.teacher={other}", f"--run={tmp_path / 'run'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the teacher {other} predicts the 10 classes 9; 8; 7; 6; 5; and 5 more, and the data have the 10" in line
    assert line.endswith("choose a teacher of the same classes in the same order")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ["--data.size=16"],
            "sees canvases of 8 pixels, and this run makes them of 16: choose --data.size 8, or another",
        ),
        (["--model.distillation.teacher=none.ckpt"], "there is no checkpoint at none.ckpt"),
        (["--model.distillation.weight=0"], "the teacher's weight in the loss is above 0 and at most 1, not 0"),
        (["--model.distillation.temperature=0"], "the temperature of distillation is above 0, not 0"),
    ],
)
def test_what_cannot_teach_is_refused_in_one_line(
    options: list[str], reason: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taught = [f"--model.distillation.teacher={checkpoint}", f"--run={tmp_path / 'run'}"]
    assert main([*FIT, *STEPS, *taught, *options]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert not (tmp_path / "run").exists()


def test_other_tasks_are_refused() -> None:
    with pytest.raises(UsageError, match=r"these data have values of an image: leave out distillation$"):
        ImageModule(CNN(width=8, stages=2), 2, 8, task="regression", distillation=Distillation("best.ckpt"))
