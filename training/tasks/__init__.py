"""What a network can be taught: one file a task, chosen by the data."""

from vitrail.card import TaskName
from vitrail.training.tasks.classification import Classes
from vitrail.training.tasks.goal import Goal
from vitrail.training.tasks.labels import LabelSets
from vitrail.training.tasks.places import PlaceClasses
from vitrail.training.tasks.values import Quantities

__all__ = ["GOALS", "Goal"]

GOALS: dict[TaskName, type[Goal]] = {
    "classification": Classes,
    "labels": LabelSets,
    "values": Quantities,
    "places": PlaceClasses,
}
