"""The built-in set of each task other than classification."""

from vitrail.data import Source, open_source
from vitrail.tasks.task import TaskName


def set_of(task: TaskName) -> Source:
    return open_source("digit-rows" if task == "sequence" else f"digit-scenes-{task}", 0)
