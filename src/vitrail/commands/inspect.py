"""vitrail inspect: show what a model file says of itself, or a picture as its patches."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitrail.commands.parsing import Parser
from vitrail.errors import UnsupportedFormat, UsageError

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 4096  # a side beyond this is a slip of the finger, and would take all the memory

ABOUT = """Show what a model file says of itself, or a picture as the patches that a ViT sees.

  vitrail inspect model.onnx
  vitrail inspect model.onnx --json
  vitrail inspect photo.jpg --patch 16 --size 224 --output photo.patches.png"""


def main(args: Sequence[str]) -> int:
    parser = Parser("inspect", ABOUT)
    parser.add_argument("file", type=Path, help="a model.onnx, or a picture")
    parser.add_argument("--json", action="store_true", help="model file: print its card as JSON")
    parser.add_argument("--patch", type=int, default=16, help="picture: side of a patch in pixels")
    parser.add_argument("--size", type=int, default=224, help="picture: side of the canvas in pixels")
    parser.add_argument("--output", type=Path, help="picture: the PNG to write (default: NAME.patches.png)")
    options = parser.parse_args(args)

    if not options.file.is_file():
        raise UsageError(f"there is no file at {options.file}")
    data = options.file.read_bytes()
    if is_picture(data):
        show_patches(data, options.file, options.size, options.patch, options.output)
    else:
        show_card(options.file, options.json)
    return 0


def is_picture(data: bytes) -> bool:
    from vitrail.images import sniff

    try:
        sniff(data)
    except UnsupportedFormat:
        return False
    return True


def show_card(path: Path, as_json: bool) -> None:
    from vitrail.classifier import Classifier
    from vitrail.pictures.summary import summary

    classifier = Classifier(path)
    if as_json:
        print(classifier.card.to_json())
        return
    print(summary(classifier.card))
    print(f"file           {path.stat().st_size / 1e6:,.1f} MB, SHA-256 {classifier.sha256}")
    print(f"runs here on   {classifier.provider}")


def show_patches(data: bytes, path: Path, size: int, patch: int, output: Path | None) -> None:
    from vitrail.card import InputRule
    from vitrail.images import fit
    from vitrail.pictures.patches import draw_patches

    if not 1 <= size <= LARGEST:
        raise UsageError(f"the canvas has a side of 1 to {LARGEST} pixels; --size is {size}")
    output = output or Path(f"{path.stem}.patches.png")
    if output.resolve() == path.resolve():
        raise UsageError(f"{output} is the picture itself: give another --output")
    write_png(draw_patches(fit(data, InputRule(size)), patch), output)
    grid = size // patch
    print(f"{grid * grid} vectors of {3 * patch * patch} numbers, grid {grid}×{grid}: {output}")


def write_png(drawing: "Image.Image", output: Path) -> None:
    """The whole file or none: a reader never meets half a picture."""
    draft = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        drawing.save(draft, "PNG")
        draft.replace(output)
    except OSError as fault:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{output} cannot be written ({fault.strerror}): give another --output") from fault
