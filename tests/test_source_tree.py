"""Rules of the source tree: which package may import which, where classes live, and how a module opens."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
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
    "images/nvimgcodec": CLOSED | {"vitrail.model_file", "vitrail.tasks", "vitrail.plots"},
    "plots": CLOSED,
    "model_file": NO_TORCH,
    "model_file/canvas_graph": NO_TORCH - {"onnx"} | {"onnxruntime"},
    "model_file/card": CLOSED,
    "model_file/explanation": CLOSED,
    "model_file/summary": CLOSED,
    "model_file/seal": CLOSED | {"numpy", "PIL"},
    "runtime": NO_TORCH | {"vitrail.model_file", "vitrail.images", "vitrail.tasks"},
    "runtime/bound": NO_TORCH | {"vitrail.model_file", "vitrail.images", "vitrail.tasks"},
    "runtime/openvino": NO_TORCH | {"onnxruntime", "vitrail.model_file", "vitrail.images", "vitrail.tasks"},
    "runtime/tensorrt": CLOSED | {"numpy", "PIL"},
    "tasks": CLOSED | {"vitrail.model_file", "vitrail.images", "vitrail.plots"},
    "tasks/training": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "configs": CLOSED,
    "vectors": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "attention": LIGHTNING | SERVER | RUNTIME | {"vitrail.training", "vitrail.models"},
    "rivals": LIGHTNING | SERVER | RUNTIME | {"vitrail.training", "vitrail.models"},
    "models": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "data": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "exporting": LIGHTNING | SERVER | {"vitrail.training"},
    "bench": LIGHTNING | SERVER | {"vitrail.training"},
    "bench/forms": SERVER,  # it compares fits, which are those of the project
    "bench/data": LIGHTNING | SERVER,  # its batches are those of training
    "bench/train": SERVER,  # it trains as the project does
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
    "images/nvimgcodec": {"numpy", "nvidia"},
    "plots": {"numpy", "PIL"},
    "model_file": {"numpy", "PIL", "onnxruntime"},
    "model_file/canvas_graph": {"onnx"},
    "model_file/card": set(),
    "model_file/explanation": {"numpy"},
    "model_file/summary": set(),
    "model_file/seal": set(),
    "runtime": {"onnxruntime"},
    "runtime/bound": {"numpy", "onnxruntime"},
    "runtime/openvino": {"numpy", "openvino"},
    "runtime/tensorrt": set(),
    "tasks": {"numpy"},
}

# Tests of several modules together, or of files that are no modules, by folder.
OF_BEHAVIOUR = {
    "": "fuzz node packaging project_files python_docs ray readme slurm source_tree studies wheel",
    "attention": "cost identities masks reach",
    "rivals": "rivals",
    "data": "value_maps",
    "exporting": "families pairs parts tasks",
    "gpu": "augmentation cuda torch",
    "images/decode_cost": "limits",
    "models": "models",
    "serving": "accuracy attacks bad_requests fuzz http_page image_formats killed_worker load memory native "
    "schema start_and_stop tasks",
    "serving/grpc": "attacks",
    "serving/http": "protocol_fuzz",
    "serving/routes": "v2_errors",
    "training": "components lightning_cli own_architecture record tasks trainer_options",
    "training/study": "recipes",
    "training/study/executors": "speed",
    "training/study/report": "page",
    "training/study/statistics": "cases coverage no_torch",
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


def test_packages_import_only_what_they_may() -> None:
    found = {path: forbidden(path.read_text(), package_of(path)) for path in modules() if path.parent != PEERS}
    assert {path: names for path, names in found.items() if names} == {}


def test_light_packages_import_nothing_else() -> None:
    found = {path: others(path) - OTHERS[package_of(path)] for path in modules() if package_of(path) in OTHERS}
    assert len(found) > 50
    assert {path: names for path, names in found.items() if names} == {}


def others(path: Path) -> set[str]:
    """The packages of others that a module imports."""
    names = imports(ast.parse(path.read_text()), inside=package_of(path) not in FREE_INSIDE)
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"vitrail"}


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


def test_a_module_opens_with_one_line_on_what_it_is_for() -> None:
    lines = {path: path.read_text().partition("\n")[0] for path in modules()}
    assert [path for path, line in lines.items() if len(line) > 120 or not re.fullmatch(r'"""\S.*\.(""")?', line)] == []


def prints(source: str) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Name) and called.id == "print" for called in calls)


def test_only_command_line_modules_print() -> None:
    quiet = [path for path in modules() if package_of(path) not in ("cli", "commands", "training")]
    assert [path for path in quiet if prints(path.read_text())] == []


def test_prints_are_detected() -> None:
    assert prints("def f():\n    print(1)")
    assert not prints("def fingerprint(): ...\nfingerprint()")


@pytest.mark.parametrize("path", sorted(PEERS.glob("*.py")), ids=lambda path: path.name)
def test_scripts_in_peers_environments_import_nothing_of_vitrail(path: Path) -> None:
    assert not [name for name in imports(ast.parse(path.read_text()), inside=True) if name.startswith("vitrail")]


def test_every_package_has_a_rule() -> None:
    assert {package_of(path) for path in modules()} == NEVER.keys()


def dotted(path: Path) -> str:
    """The module's name, as it is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def packages() -> dict[str, str]:
    """The package of each module: its folder, or itself where that has packages inside; the tasks are two halves."""
    paths = [path for path in modules() if path.parent != PEERS]
    divided = {path.parent.parent for path in paths}

    def package(path: Path) -> str:
        if package_of(path).startswith("tasks"):
            return package_of(path)
        return dotted(path if path.parent in divided else path.parent / "__init__.py")

    return {dotted(path): package(path) for path in paths}


def uses() -> dict[str, set[str]]:
    """For each package, the others that its modules import."""
    package = packages()
    graph: dict[str, set[str]] = {each: set() for each in package.values()}
    for path in modules():
        if (own := package.get(dotted(path))) is not None:
            names = set(imports(ast.parse(path.read_text()), inside=package_of(path) not in FREE_INSIDE))
            exact = {name for name in names if not any(other.startswith(f"{name}.") for other in names)}
            graph[own] |= {package[module] for name in exact if (module := module_of(name, package))} - {own}
    return graph


def module_of(name: str, known: Collection[str]) -> str:
    """The module that has this name or defines it; empty where it is not one of these."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def test_no_circle_between_packages() -> None:
    graph = uses()
    TopologicalSorter(graph).prepare()  # a CycleError names the circle
    graph["vitrail.serving.http"].add("vitrail.serving.engine")
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()


SERVICES = {"vitrail.serving.service", "vitrail.serving.gpu_service"}  # what BentoML starts
WITHOUT_TORCH = {*OTHERS, "serving"}

IMPORT_ALL = """
import contextlib, importlib, json, os, sys, warnings
from prometheus_client import values
from uvicorn.config import HTTP_PROTOCOLS

def process():
    return {
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "protocols": dict(HTTP_PROTOCOLS),
        "metrics": values.ValueClass,
    }

libraries, modules = json.load(sys.stdin)
for name in libraries:
    with contextlib.suppress(ModuleNotFoundError):  # a class, or a library that is not installed here
        importlib.import_module(name)
before = process()
for name in modules:
    importlib.import_module(name)
after = process()
print([name for name in before if before[name] != after[name]])
"""


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)])
def test_imports_change_nothing_in_the_process(every: bool, tmp_path: Path) -> None:
    """Beside what the libraries change when they are imported."""
    paths = [path for path in modules() if path.parent != PEERS and (every or package_of(path) in WITHOUT_TORCH)]
    names = {name for path in paths for name in imports(ast.parse(path.read_text()), inside=False)}
    libraries = {name for name in names if name.partition(".")[0] not in {*sys.stdlib_module_names, "vitrail"}}
    own = {dotted(path) for path in paths} - SERVICES - {"vitrail.__main__"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        input=json.dumps([sorted(libraries), sorted(own)]),
        # With this folder, as BentoML sets it, metrics would be written to files.
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_test_file_is_named_after_its_module_or_listed() -> None:
    tests = Path(__file__).parent
    files = {path.relative_to(tests).with_suffix("") for path in tests.rglob("test_*.py")}
    listed = {Path(folder) / f"test_{name}" for folder, names in OF_BEHAVIOUR.items() for name in names.split()}
    assert {file for file in files if not has_a_module(file)} == listed


def has_a_module(test: Path) -> bool:
    """Whether `PACKAGE/test_NAME` is for a module or a package of that name, or for an `__init__`."""
    name = test.name.removeprefix("test_")
    module = PACKAGE / test.parent / (f"__{name}__" if name == "init" else name)
    return module.with_suffix(".py").is_file() or module.is_dir()


def test_nothing_is_called_utils() -> None:
    vague = ("util", "manager", "helper")
    assert not [path for path in modules() if any(word in str(path.relative_to(PACKAGE)) for word in vague)]


def test_packages_at_the_top_are_loaded_by_their_installed_names() -> None:
    from vitrail.serving.service import Vitrail
    from vitrail.training.module import ImageModule

    assert ImageModule.__module__ == "vitrail.training.module"
    service: Any = Vitrail  # BentoML wraps the class
    assert service.inner.__module__ == "vitrail.serving.service"
    assert not {"training", "serving", "configs"} & sys.modules.keys()
