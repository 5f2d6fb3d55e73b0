"""report.html of a run: how it was trained, and once it is tested, what it gets right and wrong."""

from vitrail.training.report.after_test import report_test
from vitrail.training.report.page import FILE as REPORT
from vitrail.training.report.page import write_report

__all__ = ["REPORT", "report_test", "write_report"]
