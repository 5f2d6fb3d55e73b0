"""Copies a study's small files to this folder, and writes the reports and the README's table of all kept studies.

python docs/studies/keep.py runs/study-digits
python docs/studies/keep.py

Without arguments it rewrites the reports from the kept numbers, as after a change of their wording.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitrail.atomic import write_atomically
from vitrail.model_file.typed_json import read
from vitrail.plots.formatting import count, percent, points_range
from vitrail.training.study.report.report import pages, write_report
from vitrail.training.study.report.results import StudyResults, read_plain, results_of
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.store import PLAN, RESULT, read_plan, read_run

FOLDER = Path(__file__).parent
README = FOLDER.parent.parent / "README.md"
BEGIN, END = "<!-- studies: written by docs/studies/keep.py -->", "<!-- /studies -->"
SHORT = "¹"
LARGE = ("*.ckpt", "*.npz")  # weights, and the predictions for every test image


def keep(study: Path) -> None:
    name = json.loads((study / PLAN).read_text())["plan"]["name"]
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    shutil.copytree(study, FOLDER / name, ignore=shutil.ignore_patterns(*LARGE))


def readme_with_tables(text: str) -> str:
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{tables()}{END}{rest.split(END)[1]}"


def tables() -> str:
    return "".join(table(folder) + "\n" for folder in kept_studies())


def kept_studies() -> list[Path]:
    return sorted(path.parent for path in FOLDER.glob("*/curves.json"))


def table(folder: Path) -> str:
    """The accuracy of every contender at every size, and the lead of one of the two that are best with all images."""
    curves = json.loads((folder / "curves.json").read_text())
    seeds = len(json.loads((folder / PLAN).read_text())["plan"]["seeds"])
    sizes: list[int] = curves["sizes"]
    title = f"{folder.name}, {count(curves['test_images'])} test images, {seeds} seeds"
    head = [f"[{title}](docs/studies/{folder.name}/report.md)", *map(count, sizes)]
    rows = [head, ["---", *("---:" for _ in sizes)], *(row(one, sizes) for one in curves["contenders"])]
    best = {one["name"] for one in sorted(curves["contenders"], key=lambda one: one["points"][-1]["error"])[:2]}
    rows += [gaps(pair, sizes) for pair in curves["pairs"] if {pair["first"], pair["second"]} == best]
    limited = any(point["limited"] for one in curves["contenders"] for point in one["points"])
    note = f"\n{SHORT} Limited by the time of the study: longer runs may be better.\n" if limited else ""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows) + note


def row(contender: dict[str, Any], sizes: list[int]) -> list[str]:
    accuracy = {
        point["images"]: percent(1 - point["error"]) + SHORT * point["limited"] for point in contender["points"]
    }
    return [f"{contender['name']}, accuracy", *(accuracy.get(size, "") for size in sizes)]


def gaps(pair: dict[str, Any], sizes: list[int]) -> list[str]:
    """The lead of the second contender, in points of accuracy."""
    measured = {gap["images"]: points_range(gap["gap"], gap["low"], gap["high"]) for gap in pair["measured"]}
    return [f"{pair['second']} ahead of {pair['first']} by, points", *(measured.get(size, "") for size in sizes)]


def pages_of(folder: Path) -> dict[str, bytes]:
    return pages(kept_results(folder))


def kept_results(folder: Path) -> StudyResults:
    """The forecast is the one in `curves.json`: made anew, its last digits would differ between machines."""
    runs = [read_run(path.parent, verify=False) for path in folder.glob(f"runs/*/{RESULT}")]
    forecast = read(Forecast, read_plain(folder / "curves.json"), "")
    return results_of(folder, read_plan(folder), runs, forecast)


def main(studies: Sequence[str]) -> None:
    for study in studies:
        keep(Path(study))
    for folder in kept_studies():
        write_report(folder, kept_results(folder))
    write_atomically(README, readme_with_tables(README.read_text()).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
