"""Workers stay alive for many runs: no run may leave its images in memory."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vitrail.data import Digits
from vitrail.training.study import train
from vitrail.training.study.image_cache import CachedDataModule
from vitrail.training.study.jobs import Job
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.resolved_plan import resolve
from vitrail.training.study.worker import Worker


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """So that only reference counts free the images."""
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.parametrize("faults", [False, True], ids=["finished", "failed"])
def test_a_run_leaves_no_images_behind(
    plan_file: Path, monkeypatch: pytest.MonkeyPatch, no_garbage_collection: None, faults: bool
) -> None:
    made: list[weakref.ref[CachedDataModule]] = []

    class Remembered(CachedDataModule):
        def __init__(self, *options: Any, **settings: Any) -> None:
            super().__init__(*options, **settings)
            made.append(weakref.ref(self))

    def fail(*_: Any) -> None:
        raise ValueError("no figures")

    monkeypatch.setattr(train, "CachedDataModule", Remembered)
    if faults:
        monkeypatch.setattr(train, "result_of", fail)
    resolved = resolve(parse_study([f"--config={plan_file}"]).plan, Digits())
    worker = Worker(resolved)
    done = [worker.run(Job("ViT", 60, seed, 0.005)) for seed in range(2)]
    assert [one.fault for one in done] == ["no figures" if faults else None] * 2
    assert [one() for one in made] == [None, None]
