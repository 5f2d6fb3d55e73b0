"""From the folder of a study to its report, written into the same folder."""

from pathlib import Path

from vitrail.atomic import write_atomically
from vitrail.training.study.report.curves_json import numbers
from vitrail.training.study.report.html import page
from vitrail.training.study.report.markdown import markdown
from vitrail.training.study.report.outline import tell
from vitrail.training.study.report.results import Found, read_study
from vitrail.training.study.report.static_plots import plot


def report(folder: Path) -> Path:
    """Everything from what lies there: the same folder gives the same files. The page is where to look first."""
    found = read_study(folder)
    written = pages(found) | {f"learning_curves.{kind}": plot(found, kind) for kind in ("png", "svg")}
    for name, content in written.items():
        write_atomically(folder / name, content)
    return folder / "report.html"


def pages(found: Found) -> dict[str, bytes]:
    """What is read: the numbers, and the page in both its forms."""
    story = tell(found)
    return {
        "curves.json": numbers(found),
        "report.md": markdown(story).encode(),
        "report.html": page(story, found).encode(),
    }
