"""From a folder of images to a verified model: probe, fine-tune, choose, test once, export."""

from vitrail.training.build.plan import BuildPlan
from vitrail.training.build.run import build

__all__ = ["BuildPlan", "build"]
