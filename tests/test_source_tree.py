"""Rules of the source tree: which package may import which, where classes live, and how a module opens."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "vitrail"
PEERS = PACKAGE / "bench" / "peers"  # scripts for environments that are not ours: they have a rule of their own

TORCH = {"torch", "timm", "torchvision", "torchmetrics"}
LIGHTNING = {"pytorch_lightning", "lightning", "lightning_fabric"}
SERVER = {"bentoml", "starlette", "prometheus_client", "uvicorn", "vitrail.serving"}
RUNTIME = {"onnxruntime", "vitrail.model_file.classifier", "vitrail.model_file.explainer", "vitrail.runtime"}
LIBRARY = {"vitrail.vectors", "vitrail.attention", "vitrail.models", "vitrail.data", "vitrail.exporting"}

# A package or one of its modules, and what nothing in it may import.
CLOSED = TORCH | LIGHTNING | SERVER | RUNTIME | LIBRARY | {"onnx", "vitrail.training"}
NO_TORCH = TORCH | LIGHTNING | SERVER | LIBRARY | {"onnx", "vitrail.training"}
NEVER = {
    "errors": CLOSED | {"numpy", "PIL", "vitrail.model_file"},
    "atomic": CLOSED | {"numpy", "PIL"},
    "own_class": CLOSED | {"numpy", "PIL"},
    "images": CLOSED | {"vitrail.model_file", "vitrail.tasks", "vitrail.plots"},
    "plots": CLOSED,
    "model_file": NO_TORCH,
    "model_file/card": CLOSED,
    "model_file/explanation": CLOSED,
    "model_file/summary": CLOSED,
    "model_file/seal": CLOSED | {"numpy", "PIL"},
    "runtime": NO_TORCH | {"vitrail.model_file", "vitrail.images", "vitrail.tasks"},
    "runtime/tensorrt": CLOSED | {"numpy", "PIL"},
    "tasks": CLOSED | {"vitrail.model_file", "vitrail.images", "vitrail.plots"},
    "tasks/training": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "configs": CLOSED,
    "vectors": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "attention": LIGHTNING | SERVER | RUNTIME | {"vitrail.training", "vitrail.models"},
    "models": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "data": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "exporting": LIGHTNING | SERVER | {"vitrail.training"},
    "bench": LIGHTNING | SERVER | {"vitrail.training"},
    "bench/forms": SERVER,  # it compares fits, which are those of the project
    "training": SERVER | {"lightning", "vitrail.commands"},
    "serving": TORCH | LIGHTNING | LIBRARY | {"onnx", "vitrail.training"},
    # The command's own files may import anything, but only inside functions.
    "cli": CLOSED | {"numpy", "PIL"},
    "commands": CLOSED | {"numpy", "PIL", "vitrail.model_file", "vitrail.images", "vitrail.plots"},
    "parsers": CLOSED | {"numpy", "PIL"},
    "__init__": CLOSED,
    "__main__": CLOSED,
}
FREE_INSIDE = {"cli", "commands", "parsers", "__init__"}
# Measuring is imported by nobody but its command.
NEVER |= {package: never | {"vitrail.bench"} for package, never in NEVER.items() if not package.startswith("bench")}

# What packages that run without torch may import beside the standard library and vitrail's own.
OTHERS: dict[str, set[str]] = {
    "errors": set(),
    "atomic": set(),
    "own_class": set(),
    "cli": set(),
    "commands": set(),
    "parsers": set(),
    "__init__": set(),
    "__main__": set(),
    "configs": set(),
    "images": {"numpy", "PIL"},
    "plots": {"numpy", "PIL"},
    "model_file": {"numpy", "PIL", "onnxruntime"},
    "model_file/card": set(),
    "model_file/explanation": {"numpy"},
    "model_file/summary": set(),
    "model_file/seal": set(),
    "runtime": {"onnxruntime"},
    "runtime/tensorrt": set(),
    "tasks": {"numpy"},
}


def modules() -> list[Path]:
    """Every module of the package, through the links too."""
    folders = [PACKAGE, *(entry for entry in PACKAGE.rglob("*") if entry.is_dir()), *linked()]
    return sorted({path for folder in folders for path in folder.glob("*.py")})


def linked() -> list[Path]:
    links = [entry for entry in PACKAGE.iterdir() if entry.is_symlink()]
    return [*links, *(folder for link in links for folder in link.rglob("*") if folder.is_dir())]


def imports(node: ast.AST, inside: bool) -> Iterator[str]:
    """Names that a module imports; with `inside`, also those in functions and below `if TYPE_CHECKING`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "a relative import hides the package that it reads"
        yield node.module or ""
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif inside or not waits(node):
        for child in ast.iter_child_nodes(node):
            yield from imports(child, inside)


def waits(node: ast.AST) -> bool:
    """Whether what is below this node does not run when the module is imported."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def forbidden(source: str, package: str) -> set[str]:
    """Forbidden imports of this source, in this package."""
    names = set(imports(ast.parse(source), inside=package not in FREE_INSIDE))
    return {never for never in NEVER[package] if any(name == never or name.startswith(f"{never}.") for name in names)}


def package_of(path: Path) -> str:
    """The rule of a file: its own, or its package's; the torch half of a task has another than the numpy half."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[0] == "tasks" and parts[-1] in ("training", "training_task", "report"):
        return "tasks/training"
    own = "/".join(parts[:2])
    return own if own in NEVER else parts[0]


@pytest.mark.parametrize(
    "path", [path for path in modules() if path.parent != PEERS], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_packages_import_only_what_they_may(path: Path) -> None:
    assert not forbidden(path.read_text(), package_of(path))


@pytest.mark.parametrize(
    "path", [path for path in modules() if package_of(path) in OTHERS], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_light_rooms_import_nothing_else(path: Path) -> None:
    names = imports(ast.parse(path.read_text()), inside=package_of(path) not in FREE_INSIDE)
    packages = {name.partition(".")[0] for name in names}
    assert packages - sys.stdlib_module_names - {"vitrail"} <= OTHERS[package_of(path)]


@pytest.mark.parametrize(
    ("source", "package", "names"),
    [
        ("import torch", "serving", {"torch"}),
        ("def f():\n    from torch.nn import Linear", "images", {"torch"}),
        ("from vitrail import training", "exporting", {"vitrail.training"}),
        ("from vitrail.serving.app import x", "training", {"vitrail.serving"}),
        ("import torch", "commands", {"torch"}),
        ("def f():\n    import torch", "commands", set()),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", "commands", {"torch"}),
        ("class A:\n    import timm.layers as layers", "commands", {"timm"}),
        ("if TYPE_CHECKING:\n    import torch", "commands", set()),
        ("if TYPE_CHECKING:\n    import torch", "model_file", {"torch"}),
        ("import torchless", "serving", set()),
        ("def f():\n    from vitrail.bench.core.rounds import typical", "exporting", {"vitrail.bench"}),
        ("from vitrail.bench import rounds", "commands", {"vitrail.bench"}),
    ],
)
def test_the_rule_detects_violations(source: str, package: str, names: set[str]) -> None:
    assert forbidden(source, package) == names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_opens_with_one_line_on_what_it_is_for(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    assert re.fullmatch(r'"""\S.*\.(""")?', first)
    assert len(first) <= 120


def prints(source: str) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Name) and called.id == "print" for called in calls)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_command_line_modules_print(path: Path) -> None:
    assert not prints(path.read_text()) or package_of(path) in ("cli", "commands", "training")


def test_prints_are_detected() -> None:
    assert prints("def f():\n    print(1)")
    assert not prints("def fingerprint(): ...\nfingerprint()")


@pytest.mark.parametrize("path", sorted(PEERS.glob("*.py")), ids=lambda path: path.name)
def test_scripts_in_peers_environments_import_nothing_of_vitrail(path: Path) -> None:
    assert not [name for name in imports(ast.parse(path.read_text()), inside=True) if name.startswith("vitrail")]


def test_every_room_has_a_rule() -> None:
    assert {package_of(path) for path in modules()} == NEVER.keys()


def test_nothing_is_called_utils() -> None:
    vague = ("util", "manager", "helper")
    assert not [path for path in modules() if any(word in str(path.relative_to(PACKAGE)) for word in vague)]


def test_rooms_at_the_top_are_loaded_by_their_installed_names() -> None:
    from vitrail.serving.service import Vitrail
    from vitrail.training.module import ImageModule

    assert ImageModule.__module__ == "vitrail.training.module"
    service: Any = Vitrail  # BentoML wraps the class
    assert service.inner.__module__ == "vitrail.serving.service"
    assert not {"training", "serving", "configs"} & sys.modules.keys()
