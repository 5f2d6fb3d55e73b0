"""What a model predicts of an image: labels or numbers, of it or of each cell, a sequence, boxes."""

from vitrail.tasks.classification.predictions import Classification
from vitrail.tasks.dense.predictions import Dense
from vitrail.tasks.dense_regression.predictions import DenseRegression
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
    "DenseRegression",
    "Detection",
    "Evaluation",
    "LabelSequence",
    "Multilabel",
    "Regression",
    "Task",
]

CLASSIFICATION = Classification()
TASKS: dict[TaskName, Task] = {
    task.name: task
    for task in (
        CLASSIFICATION,
        Multilabel(),
        Regression(),
        Dense(),
        DenseRegression(),
        LabelSequence(),
        Detection(),
    )
}
