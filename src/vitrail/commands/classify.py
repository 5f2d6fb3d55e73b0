"""vitrail classify: predictions of a model file for images."""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from vitrail.errors import ImageError, UsageError
from vitrail.parsers import Parser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vitrail.model_file.classifier import Classifier

ABOUT = """Classify images with a model file written by `vitrail export`: labels, values, or a label for each grid cell.

  vitrail classify model.onnx photo.jpg another.png
  vitrail classify model.onnx folder_of_photos --json
  vitrail classify model.onnx photo.jpg --top-k 3 --json

A folder stands for all images in it and below it. Images are read a batch at a time, in order. One that does not
decode is named, the others are classified, and the command exits with 1."""

BATCH = 32  # images that are in memory at once; TensorRT's engine takes no more


def main(args: Sequence[str]) -> int:
    from vitrail.runtime.providers import Provider

    parser = Parser("classify", ABOUT)
    parser.add_argument("model", help="a model.onnx written by `vitrail export`")
    parser.add_argument("images", nargs="+", type=Path, help="image files, and folders of them")
    parser.add_argument("--top-k", type=int, help="how many labels an image (default: 5, or all if fewer)")
    parser.add_argument("--provider", default="auto", choices=get_args(Provider), help="where to run it")
    parser.add_argument("--abstain", action="store_true", help="say 'none of these' below the card's threshold")
    parser.add_argument("--json", action="store_true", help="print one JSON document an image and line")
    options = parser.parse_args(args)

    from vitrail.model_file.classifier import Classifier

    classifier = Classifier(options.model, options.provider)
    check_options(classifier, options.top_k, options.abstain)
    failed = False
    for path, payload in predictions(classifier, files_of(options.images), options.top_k, options.abstain):
        failed |= "error" in payload
        line = (
            json.dumps({"image": str(path), **payload}) if options.json else f"{path}: {as_text(classifier, payload)}"
        )
        print(line)
    return 1 if failed else 0


def check_options(classifier: "Classifier", top_k: int | None, abstain: bool) -> None:
    """Refuse options that do not fit the model before any image is read."""
    if top_k is not None and not classifier.task.ranks:
        raise UsageError(f"--top-k is for labels of an image; this model's task is {classifier.card.task}")
    if top_k is not None and not 1 <= top_k <= (count := len(classifier.card.classes)):
        raise UsageError(f"--top-k lies between 1 and {count}, the number of classes; it is {top_k}")
    if abstain and classifier.card.abstention is None:
        raise UsageError(f"--abstain is for one label an image; this model's task is {classifier.card.task}")


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files, and all images of the folders in the order of their names; a missing one is an error."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += images_of(path)
        elif path.is_file():
            files.append(path)
        else:
            raise UsageError(f"there is no image at {path}")
    return files


def images_of(folder: Path) -> list[Path]:
    from vitrail.images.decode import EXTENSIONS

    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    if not found:
        raise UsageError(f"there is no image in {folder}; images end with {', '.join(EXTENSIONS)}")
    return found


def predictions(
    classifier: "Classifier", paths: Sequence[Path], top_k: int | None, abstain: bool
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each image with its prediction or its error; one batch at a time, decoded on all cores."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from vitrail.runtime.providers import usable_cores

    waiting = iter(paths)
    with ThreadPoolExecutor(usable_cores()) as decoders:
        while batch := list(islice(waiting, BATCH)):
            canvases = list(decoders.map(lambda path: canvas_of(classifier, path), batch))
            good = [canvas for canvas in canvases if not isinstance(canvas, str)]
            outputs = classifier.predict(np.stack(good)) if good else None
            decoded = 0
            for path, canvas in zip(batch, canvases, strict=True):
                if isinstance(canvas, str) or outputs is None:
                    yield path, {"error": canvas}
                    continue
                row = outputs.row(decoded)
                decoded += 1
                payload = classifier.payload(row, top_k)
                none = {"none_of_these": classifier.none_of_these(row["probabilities"])} if abstain else {}
                yield path, payload | none
            sys.stdout.flush()  # a reader of the pipe sees each batch when it is done


def canvas_of(classifier: "Classifier", path: Path) -> "NDArray[np.uint8] | str":
    """The image as the model's canvas, or the error of the file."""
    try:
        return classifier.fit(path.read_bytes())
    except ImageError as fault:
        return str(fault)
    except OSError as fault:
        return f"cannot be read: {fault.strerror}"


def as_text(classifier: "Classifier", payload: dict[str, Any]) -> str:
    if "error" in payload:
        return str(payload["error"])
    text = classifier.task.text(payload)
    return f"none of these ({text})" if payload.get("none_of_these") else text
