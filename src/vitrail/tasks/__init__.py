"""What a model may be asked of an image: one label, several, values, or a label for each place."""

from vitrail.tasks.classification.predictions import Classification
from vitrail.tasks.dense.predictions import Dense
from vitrail.tasks.multilabel.predictions import Multilabel
from vitrail.tasks.regression.predictions import Regression
from vitrail.tasks.task import Measured, Task, TaskName

__all__ = ["CLASSIFICATION", "TASKS", "Classification", "Dense", "Measured", "Multilabel", "Regression", "Task"]

CLASSIFICATION = Classification()
TASKS: dict[TaskName, Task] = {task.name: task for task in (CLASSIFICATION, Multilabel(), Regression(), Dense())}
