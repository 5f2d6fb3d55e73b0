"""The training half of each task, by name."""

from vitrail.tasks.classification.training import ClassificationTraining
from vitrail.tasks.dense.training import DenseTraining
from vitrail.tasks.dense_regression.training import DenseRegressionTraining
from vitrail.tasks.detection.training import DetectionTraining
from vitrail.tasks.multilabel.training import MultilabelTraining
from vitrail.tasks.regression.training import RegressionTraining
from vitrail.tasks.sequence.training import SequenceTraining
from vitrail.tasks.task import TaskName
from vitrail.tasks.training_task import TrainingTask

__all__ = ["TRAINING_TASKS", "TrainingTask"]

TRAINING_TASKS: dict[TaskName, type[TrainingTask]] = {
    "classification": ClassificationTraining,
    "multilabel": MultilabelTraining,
    "regression": RegressionTraining,
    "dense": DenseTraining,
    "dense-regression": DenseRegressionTraining,
    "sequence": SequenceTraining,
    "detection": DetectionTraining,
}
