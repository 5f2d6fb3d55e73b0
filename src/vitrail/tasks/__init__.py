"""What a model predicts of an image: one label, several, numbers, a label for each cell, a sequence, boxes."""

from vitrail.tasks.classification.predictions import Classification
from vitrail.tasks.dense.predictions import Dense
from vitrail.tasks.detection.predictions import Detection
from vitrail.tasks.multilabel.predictions import Multilabel
from vitrail.tasks.regression.predictions import Regression
from vitrail.tasks.sequence.predictions import LabelSequence
from vitrail.tasks.task import Evaluation, Task, TaskName

__all__ = [
    "CLASSIFICATION",
    "TASKS",
    "Classification",
    "Dense",
    "Detection",
    "Evaluation",
    "LabelSequence",
    "Multilabel",
    "Regression",
    "Task",
]

CLASSIFICATION = Classification()
TASKS: dict[TaskName, Task] = {
    task.name: task for task in (CLASSIFICATION, Multilabel(), Regression(), Dense(), LabelSequence(), Detection())
}
