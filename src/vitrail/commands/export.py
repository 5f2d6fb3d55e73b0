"""vitrail export: turn a checkpoint into one verified ONNX file."""

from collections.abc import Sequence
from typing import Literal

from vitrail.parsers import config_parser, read

ABOUT = """Turn a checkpoint into one verified ONNX file.

  vitrail export --checkpoint runs/digits-vit/checkpoints/best.ckpt --output model.onnx
  vitrail export --checkpoint runs/digits-vit/checkpoints/best.ckpt --output model.onnx --explain

The file takes uint8 images of any size and carries its classes, input rule and measured accuracy.
--precision auto also tries half precision and 8-bit integers, and keeps the fastest that loses at most --max_loss.
Its outputs are compared with the network's on the test images; if they differ, nothing is written.
Validation and test images must be those that the run recorded, so that no test image was trained on."""


def main(args: Sequence[str]) -> int:
    parser = config_parser("export", ABOUT)
    parser.add_argument("--checkpoint", type=str, required=True, help="a checkpoint written by `vitrail fit`")
    parser.add_argument("--output", type=str, default="model.onnx", help="the file to write")
    parser.add_argument("--data.path", type=str | None, help="where the images are, if they have moved since training")
    parser.add_argument(
        "--precision",
        type=Literal["fp32", "fp16", "int8", "int8-dynamic", "auto"],
        default="fp32",
        help="number format; auto keeps the fastest that loses at most --max_loss, on at least 2,000 test images",
    )
    parser.add_argument(
        "--max_loss", type=float, default=0.5, help="points of test accuracy that a lower precision may lose"
    )
    parser.add_argument(
        "--opset", type=Literal[20, 23], default=23, help="of ONNX; 20 for onnxruntime before 1.23, slower in batches"
    )
    parser.add_argument(
        "--explain", action="store_true", help="write evidence and attention beside it, in a second file"
    )
    options = read(parser, args)

    from vitrail.exporting import export
    from vitrail.model_file.summary import precision_line, results
    from vitrail.models.architecture import import_from_current_folder

    import_from_current_folder()

    card = export(
        options.checkpoint,
        options.output,
        options.data.path,
        options.precision,
        options.max_loss,
        options.opset,
        options.explain,
        progress=lambda stage: print(f"{stage} …", flush=True),
    )
    parity = card.parity
    print(
        f"{options.output}: {len(card.classes)} {'values' if card.units else 'classes'}, "
        f"{card.parameters:,} parameters, {', '.join(results(card))}\n"
        f"verified on {parity.images} images: largest {'value' if card.units else 'logit'} difference "
        f"{parity.max_logit_error:.2e}{' deviations' if card.units else f', {parity.flips} predictions changed'}"
    )
    for compared in card.precisions:
        print(f"{compared.kind:<12}  {precision_line(compared)}")
    if options.explain:
        from vitrail.model_file.classifier import Classifier
        from vitrail.model_file.explainer import Explainer

        explainer = Explainer(Classifier(options.output, "cpu"), provider="cpu")
        evidence = explainer.card.evidence
        rows, columns = evidence.grid
        print(f"{explainer.path}: {evidence.kind} evidence for every class on {rows} × {columns} cells")
    return 0
