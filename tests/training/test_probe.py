"""Tests of the linear probe: it minimises what it says, chooses by validation, and training may start from it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn

from vitrail.cli import main
from vitrail.errors import ModelError, UsageError
from vitrail.models import CNN
from vitrail.tasks.training import TRAINING_TASKS
from vitrail.training import module as training_module
from vitrail.training.build.label_issues import folds_of
from vitrail.training.crops import RandomCrop
from vitrail.training.data_module import ImageDataModule
from vitrail.training.features import Features
from vitrail.training.module import ImageModule
from vitrail.training.probe import PENALTIES, Scale, cross_validated, fit_head, linear_of, minimise
from vitrail.training.runs import bare_trainer

TASK = TRAINING_TASKS["classification"](3, 0.0)


def drawn(count: int, seed: int, noise: float = 1.0) -> Features:
    random = np.random.default_rng(seed)
    targets = random.integers(0, 3, count)
    centres = np.random.default_rng(9).normal(0, 1, (3, 6)) * np.array([1, 30, 0.1, 1, 1, 1])
    inputs = centres[targets] + random.normal(0, noise, (count, 6)) * np.array([1, 30, 0.1, 1, 1, 1]) + 5
    return Features(torch.from_numpy(inputs).float(), torch.from_numpy(targets))


def test_the_head_is_that_of_logistic_regression() -> None:
    train, penalty, head = drawn(200, 0), 0.03, nn.Linear(6, 3)
    inputs = Scale.of(train.inputs).standard(train.inputs)
    minimise(head, linear_of(head), TASK, inputs, train.targets, penalty)
    peer = LogisticRegression(C=1 / (penalty * len(inputs)), tol=1e-8, max_iter=1000)
    peer.fit(inputs.numpy(), train.targets.numpy())
    ours = head(inputs).softmax(1).detach().numpy()
    np.testing.assert_allclose(ours, peer.predict_proba(inputs.numpy()), atol=2e-3)


def test_the_penalty_with_the_least_validation_loss_is_chosen_and_raw_features_go_in() -> None:
    train, val, head = drawn(40, 1, 2.0), drawn(400, 2, 2.0), nn.Linear(6, 3)
    fitted = fit_head(head, TASK, train, val)
    scale, losses = Scale.of(train.inputs), {}
    for penalty in PENALTIES:
        own = nn.Linear(6, 3)
        nn.init.zeros_(own.weight), nn.init.zeros_(own.bias)
        minimise(own, own, TASK, scale.standard(train.inputs), train.targets, penalty)
        outputs = own(scale.standard(val.inputs)).detach()
        losses[penalty] = float(nn.functional.cross_entropy(outputs, val.targets))
    assert fitted.penalty == min(losses, key=lambda each: losses[each])
    assert PENALTIES[-1] < fitted.penalty < PENALTIES[0]  # the case has a best penalty inside the range
    loss = float(nn.functional.cross_entropy(head(val.inputs).detach(), val.targets))
    assert abs(loss - min(losses.values())) < 1e-3


def test_a_constant_feature_does_no_harm() -> None:
    train = drawn(60, 3)
    train.inputs[:, 2] = 4.0
    head = nn.Linear(6, 3)
    fit_head(head, TASK, train, train)
    assert head(train.inputs).isfinite().all()


def test_no_image_is_predicted_by_a_head_that_was_fitted_to_it() -> None:
    """Labels of pure chance are memorised with 60 features of 60 images, and cross-validated they are not."""
    random = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(60, 60, generator=random), torch.randint(0, 3, (60,), generator=random)
    features, head = Features(inputs, targets), nn.Linear(60, 3)
    folds = folds_of(targets.numpy(), 0)
    assert sorted(np.concatenate(folds).tolist()) == list(range(60))
    found = cross_validated(head, TASK, features, 1e-4, folds)
    minimise(head, head, TASK, inputs, targets, 1e-4)
    assert (head(inputs).argmax(1) == targets).float().mean() == 1
    assert (found.argmax(1) == targets).float().mean() < 0.6


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = tmp_path_factory.mktemp("probe") / "run"
    steps = ["--trainer.max_steps=30", "--trainer.val_check_interval=10", "--model.net.width=8"]
    assert main(["fit", "--config=digits-cnn", *steps, f"--run={run}"]) == 0
    return str(run / "checkpoints/best.ckpt")


UNTRAINED = partial(torch.optim.AdamW, lr=1e-30, weight_decay=0.0)  # a rate that changes nothing


def started(pretrained: str, crop: RandomCrop | None = None, steps: int = 1, **trainer: Any) -> ImageModule:
    """The network after its first steps on 300 digits."""
    torch.manual_seed(0)
    net = CNN(width=8, stages=2, blocks=1, pretrained=pretrained)
    module = ImageModule(net, 10, 8, optimizer=UNTRAINED, probe_first=True, freeze_statistics=True)
    data = ImageDataModule(images=300, size=8, batch_size=32, crop=crop)
    bare_trainer([], accelerator="cpu", max_steps=steps).fit(module, datamodule=data, **trainer)
    return module


def canvases(part: str) -> tuple[torch.Tensor, torch.Tensor]:
    data = ImageDataModule(images=300, size=8, batch_size=32)
    samples = data.part(part)  # type: ignore[arg-type]
    return torch.from_numpy(samples.images).permute(0, 3, 1, 2), torch.from_numpy(samples.labels)


def test_training_starts_from_the_best_probe(pretrained: str) -> None:
    """That of scikit-learn, with the same penalties, on features that the test computes."""
    module = started(pretrained).eval()
    with torch.inference_mode():
        (images, labels), (checked, answers) = (canvases(part) for part in ("train", "val"))
        train, val = (
            module.net.forward_head(module.net.forward_features(module.input.normalised(one)), pre_logits=True)
            for one in (images, checked)
        )
        found = module(checked).softmax(1)
    scale = Scale.of(train)
    train, val = scale.standard(train).numpy(), scale.standard(val).numpy()
    best: tuple[float, Any] = (float("inf"), None)
    for penalty in PENALTIES:
        peer = LogisticRegression(C=1 / (penalty * len(train)), tol=1e-8, max_iter=2000).fit(train, labels.numpy())
        probabilities = peer.predict_proba(val)
        loss = float(F.nll_loss(torch.from_numpy(probabilities).log(), answers))
        best = min(best, (loss, probabilities), key=lambda one: one[0])
    np.testing.assert_allclose(found.numpy(), best[1], atol=0.01)


def test_random_crops_do_not_change_the_probe(pretrained: str) -> None:
    one, other = started(pretrained), started(pretrained, RandomCrop(scale=(0.3, 0.6)))
    assert all(map(torch.equal, one.net.head.parameters(), other.net.head.parameters()))


def test_a_run_that_is_resumed_keeps_its_head(pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = started(pretrained)
    module.trainer.save_checkpoint(tmp_path / "last.ckpt")
    monkeypatch.setattr(training_module, "start_from_probe", lambda *_: pytest.fail("fitted again"))
    started(pretrained, steps=2, ckpt_path=tmp_path / "last.ckpt")


def test_a_probe_that_cannot_be_is_refused(pretrained: str) -> None:
    with pytest.raises(UsageError, match=r"give net\.pretrained"):
        ImageModule(CNN(width=8), 10, 8, probe_first=True)
    net = CNN(width=8, stages=2, blocks=1, pretrained=pretrained)
    with pytest.raises(UsageError, match="at their own shapes"):
        training_module.refuse_without_probe(net, net.build(10, 8), "native", "classification")
    with pytest.raises(UsageError, match="the task is regression"):
        ImageModule(net, 10, 8, task="regression", probe_first=True)
    with pytest.raises(ModelError, match="one linear layer as its head"):
        linear_of(nn.Sequential(nn.Linear(3, 3)))
