"""Studies stored in docs: small, with working links, and in agreement with the README."""

import csv
import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import fmean, stdev
from types import ModuleType
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parent.parent
STORED = sorted(path.parent for path in (ROOT / "docs/studies").glob("*/curves.json"))
LARGEST = 1_500_000  # bytes of a study


@pytest.fixture(scope="module")
def keep() -> ModuleType:
    spec = spec_from_file_location("keep", ROOT / "docs/studies/keep.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_stored_pages_are_up_to_date(folder: Path, keep: ModuleType) -> None:
    for name, content in keep.pages_of(folder).items():
        assert (folder / name).read_bytes() == content, f"{name} is out of date: python docs/studies/keep.py"


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_points_are_those_of_the_runs(folder: Path) -> None:
    """Where none of them collapsed: their mean error, and its spread between seeds."""
    errors: dict[tuple[str, int], list[float]] = {}
    with (folder / "results.csv").open() as file:
        for row in csv.DictReader(file):
            errors.setdefault((row["contender"], int(row["size"])), []).append(float(row["test_error"]))
    contenders = json.loads((folder / "curves.json").read_text())["contenders"]
    points = [(one["name"], point) for one in contenders for point in one["points"] if not point["collapsed"]]
    assert len(points) > 5
    for name, point in points:
        runs = errors[name, point["images"]]
        assert point["seeds"] == len(runs)
        assert point["error"] == pytest.approx(fmean(runs), rel=0.05, abs=1e-3)  # times the rate of collapses
        assert point["measured_spread"] == pytest.approx(stdev(runs), rel=1e-3)


def test_the_readme_has_the_tables_of_the_studies(keep: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text()
    assert keep.readme_with_tables(readme) == readme
    for folder in STORED:
        assert f"docs/studies/{folder.name}/report.md" in readme


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: folder.name)
def test_a_stored_study_is_small_and_its_links_work(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < LARGEST
    text = (folder / "report.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len([link for link in links if link.startswith("runs/")]) > 20
    for link in links:
        assert (folder / unquote(link)).is_file(), link
    page = (folder / "report.html").read_text()
    for link in re.findall(r'href="([^"#][^"]*)"', page):
        assert link == "data:," or (folder / unquote(link)).is_file(), link
