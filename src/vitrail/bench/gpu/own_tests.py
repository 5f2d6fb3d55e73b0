"""The project's own GPU tests, `tests/gpu`: a row for each."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import vitrail
from vitrail.bench.gpu.plan import Plan, Status
from vitrail.bench.gpu.steps import Absent, Steps
from vitrail.errors import first_line

FOLDER = Path(vitrail.__file__).parents[2] / "tests" / "gpu"


def measure(plan: Plan, steps: Steps, folder: Path) -> None:
    steps.attempt("tests/gpu", lambda: run_tests(FOLDER, steps), min_seconds=20, max_seconds=600)


def run_tests(folder: Path, steps: Steps) -> None:
    """In this process, whose time the parent limits. Each failure is a row."""
    if not folder.is_dir():
        raise Absent("the tests are not installed: they are in a checkout of the repository")
    if find_spec("pytest") is None:
        raise Absent("pytest is not installed: pip install 'vitrail[dev]'")
    import pytest

    rows = Rows(steps)
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    code = int(pytest.main([str(folder), *options], plugins=[rows]))
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        steps.row("tests/gpu", "failed", reason=f"pytest ended with {pytest.ExitCode(code).name}")


class Rows:
    """A pytest plugin: a row for each test, and for each file that cannot be imported."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or not report.passed:  # else a fixture passed
            self.add(report, report.nodeid.rpartition("/")[2])

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.add(report, report.nodeid)

    def add(self, report: Any, name: str) -> None:
        outcomes: dict[str, Status] = {"passed": "passed", "skipped": "absent", "failed": "failed"}
        figures = {"seconds": round(report.duration, 2)} if hasattr(report, "duration") else {}
        self.steps.row(name, outcomes[report.outcome], figures, reason_of(report))


def reason_of(report: Any) -> str:
    """Why a test was skipped or failed, in one line."""
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return first_line(crash.message if crash else report.longreprtext)
