"""vitrail classify: predictions of a model file for images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from vitrail.errors import UsageError, VitrailError
from vitrail.parsers import Parser
from vitrail.tasks import TASKS

if TYPE_CHECKING:
    from vitrail.model_file.card import Card
    from vitrail.model_file.model import Prediction

ABOUT = """Classify images with a model file written by `vitrail export`: labels, values, a label for each
grid cell, a sequence of labels, or boxes.

  vitrail classify model.onnx photo.jpg another.png
  vitrail classify model.onnx folder_of_photos --json
  vitrail classify model.onnx photo.jpg --top-k 3 --json

A folder stands for all images in it and below it. Images are read a batch at a time, in order. One that does not
decode is named, the others are classified, and the command exits with 1."""


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

    from vitrail.model_file.model import load

    with load(options.model, options.provider) as model:
        check_options(model.card, options.top_k, options.abstain)
        failed = False
        paths = files_of(options.images)
        for path, result in zip(paths, model.try_classify(paths, options.top_k), strict=True):
            failed |= isinstance(result, VitrailError)
            line = as_json(path, result, options.abstain) if options.json else as_text(path, result, options.abstain)
            print(line, flush=True)
    return 1 if failed else 0


def check_options(card: "Card", top_k: int | None, abstain: bool) -> None:
    """Refuse options that do not fit the model before any image is read."""
    if top_k is not None and not TASKS[card.task].ranks:
        raise UsageError(f"--top-k is for labels of an image; this model's task is {card.task}")
    if top_k is not None and not 1 <= top_k <= (count := len(card.classes)):
        raise UsageError(f"--top-k lies between 1 and {count}, the number of classes; it is {top_k}")
    if abstain and card.abstention is None:
        raise UsageError(f"--abstain is for one label an image; this model's task is {card.task}")


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


def as_json(path: Path, result: "Prediction | VitrailError", abstain: bool) -> str:
    if isinstance(result, VitrailError):
        return json.dumps({"image": str(path), "error": str(result)})
    none = {"none_of_these": result.none_of_these} if abstain else {}
    return json.dumps({"image": str(path), **result.payload, **none})


def as_text(path: Path, result: "Prediction | VitrailError", abstain: bool) -> str:
    is_none = abstain and not isinstance(result, VitrailError) and result.none_of_these
    return f"{path}: none of these ({result})" if is_none else f"{path}: {result}"
