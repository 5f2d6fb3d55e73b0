"""Fits of the recipes for small images on real ones, such as CIFAR-10: accuracy on the test images, and seconds."""

import sys
from functools import partial
from pathlib import Path

import numpy as np

from vitrail.bench.core.command import Cost, run
from vitrail.bench.gpu.plan import Figures, Plan
from vitrail.bench.gpu.steps import Absent, Steps
from vitrail.tasks.intervals import Share, wilson

VALIDATIONS = 5  # of one fit
ACCELERATORS = {"cuda": "gpu", "cpu": "cpu"}


def measure(plan: Plan, steps: Steps, folder: Path) -> None:
    for recipe in plan.recipes:
        steps.attempt(
            f"{recipe}, {plan.fit_steps:,} steps on {plan.fit_size} × {plan.fit_size}",
            partial(fitted, plan, recipe, folder),
            min_seconds=60,
            max_seconds=1200,
        )


def fitted(plan: Plan, recipe: str, folder: Path) -> Figures:
    """`vitrail fit` and `vitrail test`, as a user calls them; the seconds are those of the whole command `fit`."""
    if not plan.images:
        raise Absent("no images were given: --images DIR")
    made = folder / recipe
    options = {
        "--config": recipe,
        "--run": str(made),
        "--data.path": plan.images,
        "--data.size": str(plan.fit_size),
        "--seed_everything": str(plan.seed),
        "--precision": "auto",
        "--trainer.accelerator": ACCELERATORS[plan.device],
        "--trainer.max_steps": str(plan.fit_steps),
        "--trainer.val_check_interval": str(max(1, plan.fit_steps // VALIDATIONS)),
    }
    cost = vitrail("fit", options, folder)
    vitrail("test", {"--ckpt_path": str(made / "checkpoints" / "best.ckpt")}, folder)
    accuracy = accuracy_of(made / "predictions.npz")
    return {
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "seconds": cost.seconds,
    }


def vitrail(command: str, options: dict[str, str], folder: Path) -> Cost:
    words = [word for pair in options.items() for word in pair]
    return run([sys.executable, "-m", "vitrail.cli", command, *words], folder / f"{command}.log")


def accuracy_of(predictions: Path) -> Share:
    with np.load(predictions) as arrays:
        is_right = arrays["probabilities"].argmax(axis=1) == arrays["labels"]
    return wilson(int(is_right.sum()), len(is_right))
