"""What a model may be asked of a picture: one label, several, values, or a label for each place."""

from vitrail.card import TaskName
from vitrail.tasks.classification import Classification
from vitrail.tasks.labels import Labels
from vitrail.tasks.places import Places
from vitrail.tasks.task import Measured, Task
from vitrail.tasks.values import Values

__all__ = ["CLASSIFICATION", "TASKS", "Classification", "Labels", "Measured", "Places", "Task", "Values"]

CLASSIFICATION = Classification()
TASKS: dict[TaskName, Task] = {task.name: task for task in (CLASSIFICATION, Labels(), Values(), Places())}
