"""Files around the code: workflows, templates, make targets, citation and documentation."""

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
TEXTS = [".github/ISSUE_TEMPLATE/bug.yml", ".github/ISSUE_TEMPLATE/feature.yml"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
YAML_FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in (".github/**/*.yml", ".pre-commit-config.yaml", "mkdocs.yml", "CITATION.cff", "configs/**/*.yaml")
    for path in ROOT.glob(pattern)
)
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()  # type: ignore[index]


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


@pytest.fixture(scope="module")
def floors() -> ModuleType:
    spec = importlib.util.spec_from_file_location("floors", ROOT / ".ci/floors.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", YAML_FILES)
def test_yaml_files_parse(name: str) -> None:
    assert isinstance(load(name), dict)


def test_every_kind_of_yaml_file_is_there() -> None:
    expected = {".github/workflows/ci.yml", *TEXTS, ".pre-commit-config.yaml", "mkdocs.yml", "CITATION.cff"}
    assert expected <= set(YAML_FILES)


def test_workflow_runs_ci_lowest_versions_and_docs() -> None:
    jobs = load(".github/workflows/ci.yml")["jobs"]
    commands = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}
    assert ".ci/run" in commands["check"]
    assert any("make floors" in command for command in commands["oldest"])
    assert any("make docs" in command for command in commands["docs"])
    assert "make test-long" in commands["long"]
    assert jobs["oldest"]["strategy"]["matrix"]["python"] == ["3.11", "3.12"]


def test_long_tests_run_on_a_schedule() -> None:
    workflow = load(".github/workflows/ci.yml")
    assert workflow[True]["schedule"]  # YAML reads the key `on` as true
    assert "schedule" in workflow["jobs"]["long"]["if"]


def test_workflow_has_read_only_permissions() -> None:
    assert load(".github/workflows/ci.yml")["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", TEXTS)
def test_issue_forms_have_the_required_fields(name: str) -> None:
    form = load(name)
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_its_targets(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_help_lists_every_target() -> None:
    listed = re.findall(r'@echo "make (\S+) ', MAKEFILE)
    assert sorted(listed) == sorted(set(TARGETS) - {"help"})


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_is_documented(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not [target for target in TARGETS if target != "help" and not re.search(rf"`(make )?{target}`", text)]


def test_hooks_run_the_linters_of_make_lint() -> None:
    (repository,) = load(".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"] for hook in repository["hooks"]]
    assert repository["repo"] == "local"
    for linter in ("ruff format", "ruff check", "mypy"):
        assert any(entry.startswith(f".venv/bin/{linter}") for entry in entries)


def test_citation_agrees_with_pyproject() -> None:
    citation = load("CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert citation["title"] == PROJECT["name"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == [{"name": "The vitrail authors"}]


def test_changelog_has_unreleased_changes_under_known_headings() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "\n## [Unreleased]\n" in text
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= known


def pages(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    return [page for child in (node.values() if isinstance(node, dict) else node) for page in pages(child)]


def test_every_page_of_docs_is_in_the_navigation() -> None:
    listed = pages(load("mkdocs.yml")["nav"])
    assert len(set(listed)) == len(listed)
    docs = ROOT / "docs"
    from_top = {"index.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"}  # put there by .ci/docs_hooks.py
    assert set(listed) - from_top == {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}


def test_modules_of_the_api_reference_exist() -> None:
    names = [
        name
        for path in (ROOT / "docs/api").glob("*.md")
        for name in re.findall(r"^::: (\S+)$", path.read_text(), re.MULTILINE)
    ]
    assert len(names) >= 15
    assert not [name for name in names if not is_defined(name)]


def is_defined(name: str) -> bool:
    """Whether a module of that name exists, or the module before its last dot mentions the last part."""
    path = ROOT / "src" / name.replace(".", "/")
    if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
        return True
    folder = path.parent
    file = folder.with_suffix(".py") if folder.with_suffix(".py").is_file() else folder / "__init__.py"
    return file.is_file() and re.search(rf"\b{path.name}\b", file.read_text()) is not None


def test_floors_become_exact_versions(floors: ModuleType) -> None:
    requirements = ["torch>=2.11", "onnxruntime-gpu[cuda,cudnn]>=1.28", "python_multipart>=0.0.9,<1,!=0.0.10"]
    assert floors.floors(requirements) == {"torch": "2.11", "onnxruntime-gpu": "1.28", "python-multipart": "0.0.9"}


def test_the_highest_floor_of_several_extras_counts(floors: ModuleType) -> None:
    assert floors.floors(["scipy>=1.13", "scipy>=1.9"]) == {"scipy": "1.13"}


def test_a_requirement_without_a_floor_is_refused(floors: ModuleType) -> None:
    with pytest.raises(SystemExit, match="numpy<3"):
        floors.floors(["numpy<3"])


def test_git_ignores_no_module() -> None:
    """A package called like a folder of build tools would be left out of every commit."""
    folders = ("src", "training", "serving", "configs", "tests", "examples")
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()
    assert [name for name in listed if name.endswith((".py", ".yaml", ".css")) and "node_modules" not in name] == []
