"""Reports of synthetic studies, written once."""

from pathlib import Path

import pytest

from vitrail.training.study.report.report import write_report
from vitrail.training.study.report.results import StudyResults, read_study

from .folders import outcomes_of, pair, write_study


@pytest.fixture(scope="session")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose contenders cross at about 540 images, with its report."""
    folder = write_study(tmp_path_factory.mktemp("crossing"), outcomes_of(pair("crossing inside, POW3 and POW3")))
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def results(crossing: Path) -> StudyResults:
    return read_study(crossing)
