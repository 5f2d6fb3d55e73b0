"""What a network can be taught: one file a task, chosen by the data."""

from vitrail.tasks.classification.training import Classes
from vitrail.tasks.dense.training import PlaceClasses
from vitrail.tasks.multilabel.training import LabelSets
from vitrail.tasks.regression.training import Quantities
from vitrail.tasks.task import TaskName
from vitrail.tasks.training_task import Goal

__all__ = ["GOALS", "Goal"]

GOALS: dict[TaskName, type[Goal]] = {
    "classification": Classes,
    "labels": LabelSets,
    "values": Quantities,
    "places": PlaceClasses,
}
