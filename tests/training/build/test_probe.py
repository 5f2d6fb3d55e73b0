"""Tests of the linear probe: it minimises what it says, chooses by validation, and folds its scale into the head."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from vitrail.tasks.training import TRAINING_TASKS
from vitrail.training.build.features import Features
from vitrail.training.build.label_issues import folds_of
from vitrail.training.build.probe import PENALTIES, Scale, cross_validated, fit_head, linear_of, minimise

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
