"""Studies stored in docs: small, with working links, and in agreement with the README."""

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
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


def test_stored_pages_are_up_to_date(keep: ModuleType) -> None:
    """Except those of earlier statistics: they need predictions that are not stored, and are to be run again."""
    for folder in STORED:
        if "shock" in json.loads((folder / "curves.json").read_text()):
            for name, content in keep.pages_of(folder).items():
                assert (folder / name).read_bytes() == content, f"{name} is out of date: python docs/studies/keep.py"


def test_the_spread_of_seeds_is_that_of_the_runs(keep: ModuleType) -> None:
    """The spread of the ViT's last cell is more than twice that of one law for all cells."""
    (table,) = re.findall(r"\*\*ViT\*\*\n\n((?:\|.*\n)+)", (ROOT / "docs/studies/digits/report.md").read_text())
    last = [cell.strip() for cell in table.splitlines()[-1].split("|")]
    assert last[1:2] + last[3:5] == ["1,438", "2.37", "0.99"]


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
