"""vitrail inspect: show the card of a model file, the patches of an image, or the internals of a model on an image."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitrail.errors import UnsupportedFormat, UsageError
from vitrail.parsers import Parser

if TYPE_CHECKING:
    from PIL import Image

SIZE, PATCH = 224, 16  # defaults
LARGEST = 4096  # bounds the memory of the drawing
SHOWN = 3  # classes whose evidence is drawn

ABOUT = """Show the card of a model file, the patches of an image, or the internals of a model on an image.

  vitrail inspect model.onnx
  vitrail inspect model.onnx --json
  vitrail inspect photo.jpg --patch 16 --size 224 --output photo.patches.png
  vitrail inspect photo.jpg --model model.onnx --output photo.inside.png
  vitrail inspect photo.jpg --model runs/digits-sequence/checkpoints/best.ckpt

With a model one page is drawn: the image's patches, the evidence for the best classes, attention in every head of
every layer, its rollout, and the attention distance of every head. All this is in the file that
`vitrail export --explain` writes beside the model; where it is missing, only patches are drawn.
With the checkpoint of a model that reads sequences, cross-attention is drawn step by step: where it looks for each
label. That needs vitrail[train]."""


def main(args: Sequence[str]) -> int:
    parser = Parser("inspect", ABOUT)
    parser.add_argument("file", type=Path, help="a model.onnx, or an image")
    parser.add_argument("--json", action="store_true", help="model file: print its card as JSON")
    parser.add_argument("--model", type=Path, help="image: a model.onnx or a checkpoint, whose internals are drawn")
    parser.add_argument("--patch", type=int, help=f"image: side of a patch in pixels (default: {PATCH})")
    parser.add_argument("--size", type=int, help=f"image: side of the canvas in pixels (default: {SIZE})")
    parser.add_argument(
        "--output",
        type=Path,
        help="image: the PNG to write (default: NAME.patches.png, with a model NAME.inside.png)",
    )
    options = parser.parse_args(args)

    from vitrail.model_file.card import file_of

    options.file, options.model = file_of(options.file), options.model and file_of(options.model)
    if not options.file.is_file():
        raise UsageError(f"there is no file at {options.file}")
    data = options.file.read_bytes()
    if not is_image(data):
        if options.model is not None:
            raise UsageError(f"{options.file} is not an image: --model is for images")
        show_card(options.file, options.json)
    elif options.model is not None and options.model.suffix == ".ckpt":
        refuse_sizes(options.size, options.patch)
        show_reading(data, options.file, options.model, options.output)
    elif options.model is None or not has_explain_file(options.model):
        size = SIZE if options.size is None else options.size
        patch = PATCH if options.patch is None else options.patch
        show_patches(data, options.file, size, patch, options.output)
    else:
        refuse_sizes(options.size, options.patch)
        show_internals(data, options.file, options.model, options.output)
    return 0


def refuse_sizes(size: int | None, patch: int | None) -> None:
    if size is not None or patch is not None:
        raise UsageError("with --model, size and patch are the model's own: leave out --size and --patch")


def is_image(data: bytes) -> bool:
    from vitrail.images.decode import sniff

    try:
        sniff(data)
    except UnsupportedFormat:
        return False
    return True


def show_card(path: Path, as_json: bool) -> None:
    from vitrail.model_file.classifier import Classifier
    from vitrail.model_file.summary import summary

    classifier = Classifier(path)
    if as_json:
        print(classifier.card.to_json())
        return
    print(summary(classifier.card))
    print(f"file           {path.stat().st_size / 1e6:,.1f} MB, SHA-256 {classifier.sha256}")
    print(f"runs here on   {classifier.provider}")


def has_explain_file(model: Path) -> bool:
    """Whether an explain file lies beside the model; if not, prints how to write one."""
    from vitrail.model_file.explanation import explain_path

    if not model.is_file():
        raise UsageError(f"there is no model file at {model}")
    beside = explain_path(model)
    if not beside.is_file():
        print(f"there is no {beside}, so only patches are drawn: `vitrail export --explain` writes it with the model")
    return beside.is_file()


def show_internals(data: bytes, path: Path, model: Path, output: Path | None) -> None:
    from vitrail.model_file.classifier import Classifier
    from vitrail.model_file.explainer import Explainer
    from vitrail.plots.inspection import ClassEvidence, Inspection, draw_inspection

    output = drawing_path(output, path, "inside")
    explainer = Explainer(Classifier(model))
    classifier, card = explainer.classifier, explainer.card
    canvas = classifier.fit(data)
    probabilities = classifier.predict(canvas[None]).probabilities[0]
    labels = classifier.labels(probabilities, min(SHOWN, len(probabilities)))
    internals = explainer.internals(canvas[None])
    inspection = Inspection(
        name=path.name,
        canvas=canvas,
        classes=tuple(
            ClassEvidence(each.label, each.probability, internals.evidence[0, each.index]) for each in labels
        ),
        kind=card.evidence.kind,
        attention=None if internals.attention is None else internals.attention[0],
        axes=card.attention,
    )
    write_png(draw_inspection(inspection), output)
    axes = card.attention
    attention = f"{axes.layers} layers of {axes.heads} heads" if axes else "no readable attention"
    print(f"{labels[0].label} {labels[0].probability:.3f}, {card.evidence.kind} evidence, {attention}: {output}")


def show_reading(data: bytes, path: Path, checkpoint: Path, output: Path | None) -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise UsageError("a checkpoint needs pip install 'vitrail[train]'; export it, and give --model its model.onnx")
    from vitrail.images.decode import fit
    from vitrail.models.checkpoint import read_checkpoint
    from vitrail.models.reading import read
    from vitrail.plots.reading import Step, draw_reading

    output = drawing_path(output, path, "reading")
    network, origin = read_checkpoint(checkpoint)
    canvas = fit(data, origin.input)
    reading = read(network, origin.input, canvas)
    if reading is None:
        raise UsageError(f"{checkpoint} reads no sequences (its task is {origin.task}): export it with --explain")
    names, steps = (*origin.classes, "end"), []
    for probabilities, attention in zip(reading.probabilities, reading.attention, strict=True):
        best = int(probabilities.argmax())
        steps.append(Step(names[best], float(probabilities[best]), attention))
        if best == len(origin.classes):
            break
    write_png(draw_reading(path.name, canvas, steps), output)
    print(f"{' '.join(step.label for step in steps)}, attention of {len(steps)} steps: {output}")


def drawing_path(output: Path | None, path: Path, suffix: str) -> Path:
    output = output or Path(f"{path.stem}.{suffix}.png")
    if output.resolve() == path.resolve():
        raise UsageError(f"{output} is the image itself: give another --output")
    return output


def show_patches(data: bytes, path: Path, size: int, patch: int, output: Path | None) -> None:
    from vitrail.images.canvas import InputRule
    from vitrail.images.decode import fit
    from vitrail.plots.patches import draw_patches

    if not 1 <= size <= LARGEST:
        raise UsageError(f"the canvas has a side of 1 to {LARGEST} pixels; --size is {size}")
    output = drawing_path(output, path, "patches")
    write_png(draw_patches(fit(data, InputRule(size)), patch), output)
    grid = size // patch
    print(f"{grid * grid} vectors of {3 * patch * patch} numbers, grid {grid}×{grid}: {output}")


def write_png(drawing: "Image.Image", output: Path) -> None:
    """Atomically: a reader never sees half a file."""
    from vitrail.atomic import draft_of

    try:
        with draft_of(output) as draft:
            drawing.save(draft, "PNG")
    except OSError as fault:
        raise UsageError(f"{output} cannot be written ({fault.strerror}): give another --output") from fault
