"""vitrail classify: answer pictures with a model file."""

import json
from collections.abc import Sequence
from pathlib import Path

from vitrail.commands.parsing import Parser
from vitrail.errors import PictureError, UsageError

ABOUT = """Answer pictures with a model file written by `vitrail export`: labels, values, or a label for each place.

  vitrail classify model.onnx photo.jpg another.png
  vitrail classify model.onnx photo.jpg --top-k 3 --json

A picture that does not decode is named, the others are answered, and the command ends with 1."""


def main(args: Sequence[str]) -> int:
    parser = Parser("classify", ABOUT)
    parser.add_argument("model", help="a model.onnx written by `vitrail export`")
    parser.add_argument("pictures", nargs="+", type=Path, help="picture files")
    parser.add_argument("--top-k", type=int, help="how many labels a picture (default: 5, or all if fewer)")
    parser.add_argument("--provider", default="auto", choices=["auto", "cpu", "cuda"], help="where to run it")
    parser.add_argument("--abstain", action="store_true", help="say 'none of these' below the card's threshold")
    parser.add_argument("--json", action="store_true", help="print one JSON document a picture and line")
    options = parser.parse_args(args)

    from vitrail.classifier import Classifier

    classifier = Classifier(options.model, options.provider)
    if options.top_k is not None and not classifier.task.ranks:
        raise UsageError(f"--top-k is for labels of a picture; this model answers with {classifier.card.task}")
    if options.abstain and classifier.card.abstention is None:
        raise UsageError(f"--abstain is for one label a picture; this model answers with {classifier.card.task}")
    failed = False
    for path, data in zip(options.pictures, read_pictures(options.pictures), strict=True):
        try:
            row = classifier.answer(classifier.fit(data)[None]).row(0)
        except PictureError as fault:
            failed = True
            print(json.dumps({"picture": str(path), "error": str(fault)}) if options.json else f"{path}: {fault}")
            continue
        told = classifier.told(row, options.top_k)
        none = options.abstain and classifier.none_of_these(row["probabilities"])
        if options.json:
            answer = {"picture": str(path), **told}
            print(json.dumps({**answer, "none_of_these": none} if options.abstain else answer))
        else:
            said = classifier.task.words(told)
            print(f"{path}: none of these ({said})" if none else f"{path}: {said}")
    return 1 if failed else 0


def read_pictures(paths: Sequence[Path]) -> list[bytes]:
    """The bytes of each file, or one error that names the first that is not there."""
    for path in paths:
        if not path.is_file():
            raise UsageError(f"there is no picture at {path}")
    return [path.read_bytes() for path in paths]
