"""The built-in set of each task other than classification, and the tasks as parameters of tests."""

import pytest

from vitrail.data import Source, open_source
from vitrail.tasks.task import TaskName

# Each with a fit and an export of its own: half of them in the quick tests.
EVERY_TASK = [
    "multilabel",
    "dense",
    "detection",
    *(pytest.param(task, marks=pytest.mark.long) for task in ("regression", "dense-regression", "sequence")),
]


def set_of(task: TaskName) -> Source:
    return open_source("digit-rows" if task == "sequence" else f"digit-scenes-{task}", 0)
