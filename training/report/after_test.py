"""From a module that has just been tested to its report."""

from pathlib import Path

import torch

from vitrail.tasks.classification.report import ClassificationReport
from vitrail.tasks.training_task import Report
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule
from vitrail.training.report.mistakes import shown, worst_mistakes
from vitrail.training.report.page import write_report
from vitrail.training.report.tested import Tested


def report_test(run: Path, model: ImageModule, data: ImageDataModule, report: Report) -> Path:
    """Rewrite the run's report with the predictions for all test images."""
    predictions, images = torch.cat(model.predictions).numpy(), data.targets("test")
    mistakes = worst_mistakes(predictions, images.labels) if isinstance(report, ClassificationReport) else []
    return write_report(
        run,
        Tested(
            model.training_task.task,
            data.classes,
            predictions,
            images,
            report,
            data.selection.place,
            tuple(shown(mistakes, model, data)),
        ),
    )
