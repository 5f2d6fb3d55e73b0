"""vitrail bento: pack a model file and its server into a Bento."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import requires, version
from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from vitrail.commands.parsing import Parser
from vitrail.commands.serve import SERVICE, require_serving
from vitrail.errors import VitrailError

if TYPE_CHECKING:
    from vitrail.classifier import Classifier

ABOUT = """Pack a model file, its server and their pinned requirements into a Bento, and print its tag.

  vitrail bento model.onnx
  bentoml serve vitrail-digits-cnn:latest        (or: bentoml containerize vitrail-digits-cnn:latest)

  vitrail bento model.onnx --store               (the file alone, into BentoML's model store)

The Bento is kept in BentoML's own store; nothing of it needs torch."""

WHEELS = {"cpu": "onnxruntime", "gpu": "onnxruntime-gpu"}


def main(args: Sequence[str]) -> int:
    parser = Parser("bento", ABOUT)
    parser.add_argument("model", type=Path, help="a model.onnx written by `vitrail export`")
    parser.add_argument("--store", action="store_true", help="put the model file into the model store, build no Bento")
    parser.add_argument("--runtime", choices=list(WHEELS), help="onnxruntime's wheel (default: the one installed here)")
    options = parser.parse_args(args)
    require_serving()

    from vitrail.classifier import Classifier

    model = Classifier(options.model, "cpu")
    if options.store:
        print(store(model))
        return 0
    with TemporaryDirectory(prefix="vitrail-bento-") as folder:
        stage(model, options.runtime or installed_runtime(), Path(folder))
        print(build(Path(folder)))
    return 0


def store(model: "Classifier") -> str:
    """Put the file, and its explain file where there is one, into BentoML's model store; its tag.

    The version is the beginning of the file's hash, so the same file is never stored twice.
    """
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    import bentoml
    from bentoml.exceptions import NotFound

    from vitrail.serving.naming import model_name
    from vitrail.serving.settings import PACKED_MODEL

    card = model.card
    tag = f"{model_name(card)}:{model.sha256[:16]}"
    try:
        return str(bentoml.models.get(tag).tag)
    except NotFound:
        pass
    labels = {"dataset": card.dataset.name[:63], "precision": card.precision, "sha256": model.sha256[:63]}
    facts: dict[str, Any] = {"sha256": model.sha256, "task": card.task, "classes": list(card.classes)}
    if card.test_accuracy is not None:
        facts["test_accuracy"] = card.test_accuracy.value
    with bentoml.models.create(tag, labels=labels, metadata=facts) as stored:
        copy_model(model.path, Path(stored.path_of(PACKED_MODEL)))
    return str(stored.tag)


def copy_model(model: Path, copy: Path) -> None:
    """Copy a model file, and its explain file where there is one."""
    from vitrail.explanation import explain_path

    copyfile(model, copy)
    if explain_path(model).is_file():
        copyfile(explain_path(model), explain_path(copy))


def installed_runtime() -> str:
    from vitrail.runtime import is_installed

    return "gpu" if is_installed(WHEELS["gpu"]) else "cpu"


def stage(model: "Classifier", runtime: str, folder: Path) -> None:
    """Lay out all that the Bento carries.

    The package is copied as it is imported, with its links resolved: the checkout's `src/` would not do, for
    a Bento keeps links that lead nowhere.
    """
    import yaml

    import vitrail
    from vitrail.serving.settings import PACKED_MODEL

    copytree(Path(vitrail.__file__).parent, folder / "vitrail", ignore=ignore_patterns("__pycache__"))
    copy_model(model.path, folder / PACKED_MODEL)
    # What an installation would leave beside the package: `importlib.metadata` finds the version there.
    identity = folder / f"vitrail-{vitrail.__version__}.dist-info"
    identity.mkdir()
    (identity / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vitrail\nVersion: {vitrail.__version__}\n")
    (folder / "bentofile.yaml").write_text(yaml.safe_dump(bentofile(model, runtime), sort_keys=False))


def bentofile(model: "Classifier", runtime: str) -> dict[str, Any]:
    """What BentoML is told: only direct requirements are pinned, so that pip may still find wheels elsewhere."""
    from vitrail.serving.naming import model_name

    packages = list(requirements("serve", runtime))
    return {
        "name": f"vitrail-{model_name(model.card)}"[:63].rstrip("-"),  # BentoML takes no longer one
        "service": SERVICE,
        "labels": {"dataset": model.card.dataset.name, "sha256": model.sha256},
        "include": ["*"],
        "python": {"packages": packages, "lock_packages": False},
    }


def requirements(*extras: str) -> Iterator[str]:
    """Each requirement of vitrail and of these extras, at the version that is installed here."""
    from packaging.requirements import Requirement

    for text in requires("vitrail") or []:
        needed = Requirement(text)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            yield f"{needed.name}=={installed_version(needed.name)}"


def installed_version(name: str) -> str:
    """Of onnxruntime's two wheels, which share their versions, only one is installed."""
    return version(WHEELS[installed_runtime()] if name in WHEELS.values() else name)


def build(folder: Path) -> str:
    """Run BentoML in the folder, in a process that imports the copy there; the new Bento's tag."""
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--output", "tag"],
        cwd=folder,
        env={**os.environ, "BENTOML_DO_NOT_TRACK": "True"},
        capture_output=True,
        text=True,
        check=False,
    )
    tag = re.search(r"__tag__:(\S+)", done.stdout)
    if done.returncode or tag is None:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise VitrailError(f"BentoML did not build the Bento: {said[-1]}")
    return tag[1]
