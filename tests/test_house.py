"""The house's rules: who may import whom, where classes live, and how a module opens."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent / "src" / "vitrail"
PEERS = HOUSE / "bench" / "peers"  # scripts for environments that are not ours: they have a rule of their own

TORCH = {"torch", "timm", "torchvision", "torchmetrics"}
LIGHTNING = {"pytorch_lightning", "lightning", "lightning_fabric"}
SERVER = {"bentoml", "starlette", "prometheus_client", "uvicorn", "vitrail.serving"}
RUNTIME = {"onnxruntime", "vitrail.classifier", "vitrail.explainer", "vitrail.runtime"}
LIBRARY = {"vitrail.vectors", "vitrail.attention", "vitrail.models", "vitrail.data", "vitrail.export"}

# A room, and what nothing in it may import. Rooms of files of models come first: they run where torch is not.
CLOSED = TORCH | LIGHTNING | SERVER | RUNTIME | LIBRARY | {"onnx", "vitrail.training"}
NEVER = {
    "errors": CLOSED | {"numpy", "PIL", "vitrail.card"},
    "atomic": CLOSED | {"numpy", "PIL"},
    "intervals": CLOSED | {"numpy", "PIL"},
    "card": CLOSED,
    "decode_cost": CLOSED | {"numpy", "PIL"},
    "explanation": CLOSED,
    "golden": CLOSED,
    "images": CLOSED,
    "pictures": CLOSED,
    "tasks": CLOSED,
    "configs": CLOSED,
    "runtime": TORCH
    | LIGHTNING
    | SERVER
    | LIBRARY
    | {"onnx", "vitrail.training", "vitrail.classifier", "vitrail.explainer", "vitrail.card"},
    "seal": CLOSED | {"numpy", "PIL"},
    "tensorrt": CLOSED | {"numpy", "PIL"},
    "golden_check": TORCH | LIGHTNING | SERVER | LIBRARY | {"onnx", "vitrail.training"},
    "classifier": TORCH | LIGHTNING | SERVER | LIBRARY | {"onnx", "vitrail.training"},
    "model": TORCH | LIGHTNING | SERVER | LIBRARY | {"onnx", "vitrail.training"},
    "explainer": TORCH | LIGHTNING | SERVER | LIBRARY | {"onnx", "vitrail.training"},
    "vectors": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "attention": LIGHTNING | SERVER | RUNTIME | {"vitrail.training", "vitrail.models"},
    "models": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "data": LIGHTNING | SERVER | RUNTIME | {"vitrail.training"},
    "export": LIGHTNING | SERVER | {"vitrail.training"},
    "bench": LIGHTNING | SERVER | {"vitrail.training"},
    "training": SERVER | {"lightning"},
    "serving": TORCH | LIGHTNING | LIBRARY | {"onnx", "vitrail.training"},
    # The command's own files may open any room, but only inside functions.
    "cli": CLOSED | {"numpy", "PIL"},
    "commands": CLOSED | {"numpy", "PIL", "vitrail.card", "vitrail.images", "vitrail.pictures"},
    "__init__": CLOSED,
    "__main__": CLOSED,
}
OPEN_INSIDE = {"cli", "commands", "__init__"}
# Measuring is imported by nobody but its command.
NEVER |= {room: never | {"vitrail.bench"} for room, never in NEVER.items() if room != "bench"}

# What rooms that run without torch may import beside the standard library and vitrail's own.
OTHERS = {
    "errors": set(),
    "atomic": set(),
    "intervals": set(),
    "cli": set(),
    "commands": set(),
    "__init__": set(),
    "__main__": set(),
    "configs": set(),
    "card": {"numpy", "PIL"},
    "explanation": {"numpy"},
    "explainer": {"numpy"},
    "golden": {"numpy", "PIL"},
    "decode_cost": set(),
    "images": {"numpy", "PIL"},
    "pictures": {"numpy", "PIL"},
    "tasks": {"numpy"},
    "runtime": {"onnxruntime"},
    "classifier": {"numpy", "PIL", "onnxruntime"},
    "model": {"numpy", "PIL"},
}


def modules() -> list[Path]:
    """Every module of the package, through the links too."""
    rooms = [HOUSE, *(entry for entry in HOUSE.rglob("*") if entry.is_dir()), *linked()]
    return sorted({path for room in rooms for path in room.glob("*.py")})


def linked() -> list[Path]:
    links = [entry for entry in HOUSE.iterdir() if entry.is_symlink()]
    return [*links, *(folder for link in links for folder in link.rglob("*") if folder.is_dir())]


def imports(node: ast.AST, inside: bool) -> Iterator[str]:
    """Names that a module imports; with `inside`, also those in functions and below `if TYPE_CHECKING`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "a relative import hides the room that it opens"
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


def forbidden(source: str, room: str) -> set[str]:
    """What this source imports although its room never may."""
    names = set(imports(ast.parse(source), inside=room not in OPEN_INSIDE))
    return {never for never in NEVER[room] if any(name == never or name.startswith(f"{never}.") for name in names)}


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path", [path for path in modules() if path.parent != PEERS], ids=lambda path: str(path.relative_to(HOUSE))
)
def test_rooms_import_only_what_they_may(path: Path) -> None:
    assert not forbidden(path.read_text(), room_of(path))


@pytest.mark.parametrize(
    "path", [path for path in modules() if room_of(path) in OTHERS], ids=lambda path: str(path.relative_to(HOUSE))
)
def test_light_rooms_import_nothing_else(path: Path) -> None:
    names = imports(ast.parse(path.read_text()), inside=room_of(path) not in OPEN_INSIDE)
    packages = {name.partition(".")[0] for name in names}
    assert packages - sys.stdlib_module_names - {"vitrail"} <= OTHERS[room_of(path)]


@pytest.mark.parametrize(
    ("source", "room", "found"),
    [
        ("import torch", "serving", {"torch"}),
        ("def f():\n    from torch.nn import Linear", "images", {"torch"}),
        ("from vitrail import training", "export", {"vitrail.training"}),
        ("from vitrail.serving.app import x", "training", {"vitrail.serving"}),
        ("import torch", "commands", {"torch"}),
        ("def f():\n    import torch", "commands", set()),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", "commands", {"torch"}),
        ("class A:\n    import timm.layers as layers", "commands", {"timm"}),
        ("if TYPE_CHECKING:\n    import torch", "commands", set()),
        ("if TYPE_CHECKING:\n    import torch", "classifier", {"torch"}),
        ("import torchless", "serving", set()),
        ("def f():\n    from vitrail.bench.rounds import typical", "export", {"vitrail.bench"}),
        ("from vitrail.bench import rounds", "commands", {"vitrail.bench"}),
    ],
)
def test_the_rule_would_notice(source: str, room: str, found: set[str]) -> None:
    assert forbidden(source, room) == found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_module_opens_with_one_line_on_what_it_is_for(path: Path) -> None:
    first = path.read_text().partition("\n")[0]
    assert re.fullmatch(r'"""\S.*\.(""")?', first)
    assert len(first) <= 120


def prints(source: str) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Name) and called.id == "print" for called in calls)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_only_what_talks_to_a_terminal_prints(path: Path) -> None:
    assert not prints(path.read_text()) or room_of(path) in ("cli", "commands", "training")


def test_printing_would_be_noticed() -> None:
    assert prints("def f():\n    print(1)")
    assert not prints("def fingerprint(): ...\nfingerprint()")


@pytest.mark.parametrize("path", sorted(PEERS.glob("*.py")), ids=lambda path: path.name)
def test_scripts_in_peers_environments_need_nothing_of_ours(path: Path) -> None:
    assert not [name for name in imports(ast.parse(path.read_text()), inside=True) if name.startswith("vitrail")]


def test_every_room_has_a_rule() -> None:
    assert {room_of(path) for path in modules()} == NEVER.keys()


def test_nothing_is_called_utils() -> None:
    words = ("util", "manager", "helper")
    assert not [path for path in modules() if any(word in str(path.relative_to(HOUSE)) for word in words)]


def test_rooms_at_the_top_are_loaded_by_their_installed_names() -> None:
    from vitrail.serving.service import Vitrail
    from vitrail.training.classification import Classification

    assert Classification.__module__ == "vitrail.training.classification"
    assert Vitrail.inner.__module__ == "vitrail.serving.service"
    assert not {"training", "serving", "configs"} & sys.modules.keys()
