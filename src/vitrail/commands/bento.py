"""vitrail bento: pack a model file and its server into a Bento."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from vitrail.commands import require_packages
from vitrail.commands.serve import SERVICE
from vitrail.errors import VitrailError
from vitrail.parsers import Parser

if TYPE_CHECKING:
    from vitrail.model_file.classifier import Classifier

ABOUT = """Pack a model file, its server and their pinned requirements into a Bento, and print its tag.

  vitrail bento model.onnx
  bentoml serve vitrail-digits-cnn:latest        (or: bentoml containerize vitrail-digits-cnn:latest)

  vitrail bento model.onnx --runtime gpu         (--runtime tensorrt: TensorRT's libraries too)
  vitrail bento model.onnx --runtime openvino    (for CPUs; the server takes OpenVINO where it is faster and sound)
  vitrail bento model.onnx --store               (the file alone, into BentoML's model store)

The Bento goes into BentoML's store and needs no torch. Packed for a GPU, it contains CUDA's libraries,
declares one GPU to BentoML, and does not start without it unless VITRAIL_PROVIDER is cpu or auto. It computes with
CUDA, or with TensorRT if that is packed too and VITRAIL_PROVIDER is tensorrt."""

WHEELS = {"cpu": "onnxruntime", "gpu": "onnxruntime-gpu"}
EXTRAS = {  # by --runtime
    "cpu": ("cpu",),
    "openvino": ("cpu", "openvino"),
    "gpu": ("gpu",),
    "tensorrt": ("gpu", "tensorrt"),
}
GPU_SERVICE = "vitrail.serving.gpu_service:Vitrail"


def main(args: Sequence[str]) -> int:
    parser = Parser("bento", ABOUT)
    parser.add_argument("model", type=Path, help="a model.onnx written by `vitrail export`")
    parser.add_argument("--store", action="store_true", help="put the file into BentoML's model store, build no Bento")
    parser.add_argument(
        "--runtime",
        choices=list(EXTRAS),
        help="what the Bento runs on (default: cpu or gpu, by the onnxruntime wheel installed here)",
    )
    options = parser.parse_args(args)
    require_packages("bentoml")

    from vitrail.model_file.classifier import Classifier

    model = Classifier(options.model, "cpu")
    if options.store:
        print(store(model))
        return 0
    runtime = options.runtime or installed_runtime()
    if options.runtime is None and runtime != "cpu":
        print(
            f"vitrail: packing for a GPU, since {WHEELS[runtime]} is installed here; --runtime cpu packs for a CPU",
            file=sys.stderr,
        )
    with TemporaryDirectory(prefix="vitrail-bento-") as folder:
        stage(model, runtime, Path(folder))
        print(build(Path(folder)))
    return 0


def store(model: "Classifier") -> str:
    """Put the file, with its explain file if there is one, into BentoML's model store, and return its tag.

    The version is the start of the file's hash, so a file is never stored twice.
    """
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    import bentoml
    from bentoml.exceptions import NotFound

    from vitrail.serving.settings import PACKED_MODEL, model_name

    card = model.card
    tag = f"{model_name(card)}:{model.sha256[:16]}"
    try:
        return str(bentoml.models.get(tag).tag)
    except NotFound:
        pass
    labels = {"dataset": card.dataset.name[:63], "precision": card.precision, "sha256": model.sha256[:63]}
    metadata: dict[str, Any] = {"sha256": model.sha256, "task": card.task, "classes": list(card.classes)}
    if card.test_accuracy is not None:
        metadata["test_accuracy"] = card.test_accuracy.value
    with bentoml.models.create(tag, labels=labels, metadata=metadata) as stored:
        copy_model(model.path, Path(stored.path_of(PACKED_MODEL)))
    return str(stored.tag)


def copy_model(model: Path, copy: Path) -> None:
    """Copy a model file, with its explain file if there is one."""
    from vitrail.model_file.explanation import explain_path

    copyfile(model, copy)
    if explain_path(model).is_file():
        copyfile(explain_path(model), explain_path(copy))


def installed_runtime() -> str:
    from vitrail.runtime.providers import is_installed

    return "gpu" if is_installed(WHEELS["gpu"]) else "cpu"


def stage(model: "Classifier", runtime: str, folder: Path) -> None:
    """Write everything that the Bento contains to the folder.

    The package is copied as it is imported, with its symbolic links resolved: in the checkout's `src/` they would lead
    out of the Bento.
    """
    import yaml

    import vitrail
    from vitrail.serving.settings import PACKED_MODEL

    copytree(Path(vitrail.__file__).parent, folder / "vitrail", ignore=ignore_patterns("__pycache__"))
    copy_model(model.path, folder / PACKED_MODEL)
    # As an installation would write beside the package: `importlib.metadata` reads the version there.
    dist_info = folder / f"vitrail-{vitrail.__version__}.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vitrail\nVersion: {vitrail.__version__}\n")
    (folder / "bentofile.yaml").write_text(yaml.safe_dump(bentofile(model, runtime), sort_keys=False))


def bentofile(model: "Classifier", runtime: str) -> dict[str, Any]:
    """The bentofile; it pins direct requirements only, so that pip can choose wheels on other platforms."""
    from vitrail.serving.settings import model_name

    packages = list(requirements(requires("vitrail") or [], ("serve", *EXTRAS[runtime]), installed_version))
    return {
        "name": f"vitrail-{model_name(model.card)}"[:63].rstrip("-"),  # BentoML's limit
        "service": GPU_SERVICE if "gpu" in EXTRAS[runtime] else SERVICE,
        "labels": {"dataset": model.card.dataset.name, "sha256": model.sha256},
        "include": ["*"],
        "python": {"packages": packages, "lock_packages": False},
    }


def requirements(
    declared: Iterable[str], extras: Sequence[str], version_of: Callable[[str], str | None]
) -> Iterator[str]:
    """The base requirements and those of these extras, in pip's syntax, pinned to the installed versions.

    A requirement keeps its own extras, which may be essential (CUDA's libraries are one), and its conditions on Python
    and the platform, since the Bento may run elsewhere. What is not installed here keeps its declared range.
    """
    from packaging.requirements import Requirement

    for text in declared:
        package = Requirement(text)
        if package.marker is not None and not any(package.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        installed = version_of(package.name)
        if installed is not None and not package.specifier.contains(installed, prereleases=True):
            raise VitrailError(
                f"the Bento needs {package.name}{package.specifier}, "
                f"but {installed} is installed here: upgrade it first"
            )
        brackets = f"[{','.join(sorted(package.extras))}]" if package.extras else ""
        condition = without_extra(str(package.marker or ""))
        pin = package.specifier if installed is None else f"=={installed}"
        yield f"{package.name}{brackets}{pin}" + (f"; {condition}" if condition else "")


def without_extra(marker: str) -> str:
    """The condition of a marker, which in built metadata is `CONDITION and extra == "NAME"`."""
    return re.sub(r'(^| and )extra == "[^"]*"$', "", marker)


def installed_version(name: str) -> str | None:
    """Only one of onnxruntime's two wheels, which share their versions, is installed; TensorRT may be absent."""
    try:
        return version(WHEELS[installed_runtime()] if name in WHEELS.values() else name)
    except PackageNotFoundError:
        return None


def build(folder: Path) -> str:
    """Build a Bento in a process that imports the folder's copy of vitrail, and return its tag."""
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
        output = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise VitrailError(f"BentoML did not build the Bento: {output[-1]}")
    return tag[1]
