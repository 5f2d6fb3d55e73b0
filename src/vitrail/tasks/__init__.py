"""What a model may be asked of a picture: one label, several, values, or a label for each place."""

from vitrail.tasks.classification.predictions import Classification
from vitrail.tasks.dense.predictions import Places
from vitrail.tasks.multilabel.predictions import Labels
from vitrail.tasks.regression.predictions import Values
from vitrail.tasks.task import Measured, Task, TaskName

__all__ = ["CLASSIFICATION", "TASKS", "Classification", "Labels", "Measured", "Places", "Task", "Values"]

CLASSIFICATION = Classification()
TASKS: dict[TaskName, Task] = {task.name: task for task in (CLASSIFICATION, Labels(), Values(), Places())}
