"""vitrail build: from a folder of images to a verified model."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from vitrail.commands import require_packages
from vitrail.parsers import Parser

ABOUT = """From a folder of images to a folder with a verified model, within a time.

  vitrail build my_images
  vitrail build my_images --minutes 5 --weights my_weights
  vitrail build my_images --serve

It checks the images, fits a linear probe on a pretrained ViT and a pretrained CNN, writes a first model within
minutes, fine-tunes the better network for as long as the time allows, chooses on validation images, measures once on
test images, and exports. Ctrl-C keeps the best model so far; the same command goes on.

The folder holds model.onnx with its explanations, a report, a model card, the weights for timm, and the recipe.
`vitrail serve` and `vitrail.load` take the folder.

Weights come from --weights (or VITRAIL_WEIGHTS), a folder with files such as vit_tiny_patch16_224.safetensors, each
called after its network in timm; else they are downloaded from the Hugging Face Hub, unless --offline. Without weights
both networks learn from scratch."""


def main(args: Sequence[str]) -> int:
    parser = Parser("build", ABOUT)
    parser.add_argument("path", help="images, one folder a class, or another set that `vitrail fit` takes")
    parser.add_argument("--output", type=Path, help="the folder to write (default: NAME-model)")
    parser.add_argument("--minutes", type=float, default=30.0, help="of work (default: 30)")
    parser.add_argument("--weights", type=Path, help="a folder of pretrained weights (default: VITRAIL_WEIGHTS)")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of training (default: 0)")
    parser.add_argument("--duplicates", choices=("refuse", "allow"), default="refuse", help="images in two parts")
    parser.add_argument("--corrupt", choices=("refuse", "skip"), default="refuse", help="images that do not decode")
    parser.add_argument("--serve", action="store_true", help="serve the model at the end, until Ctrl-C")
    parser.add_argument("--port", type=int, default=3000, help="port of the server (default: 3000)")
    options = parser.parse_args(args)

    if options.serve:
        require_packages("bentoml")

    from vitrail.training.build import build
    from vitrail.training.process import prepare_process

    prepare_process()
    folder = build(
        options.path,
        options.output,
        options.minutes,
        options.weights,
        options.offline,
        options.seed,
        options.duplicates,
        options.corrupt,
        progress=lambda line: print(line, flush=True),
    )
    print(f"{folder}: model.onnx, report.html, README.md; next: vitrail serve {shlex.quote(str(folder))}", flush=True)
    if options.serve:
        from vitrail.commands import serve

        return serve.main([str(folder), "--port", str(options.port)])
    return 0
