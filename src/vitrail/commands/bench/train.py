"""vitrail bench train: training on JPEG files, beside timm's loader and loop and a plain loop over an ImageFolder."""

import sys
from collections.abc import Sequence
from typing import Literal

from vitrail.commands.bench.options import require_folder, stop_servers_on_sigterm, write_report
from vitrail.errors import UsageError
from vitrail.parsers import config_parser, read

ABOUT = """Measure how fast a network trains on JPEG files, on the CPU: the pipeline alone, the network alone, and both.

  vitrail bench train --photos DIR
  vitrail bench train --photos DIR --net resnet18 --parts 'network alone' --precision auto
  vitrail bench train --photos DIR --images 512 --workers 2
  vitrail bench train --photos DIR --parts processes --batch 16

Photos of the folder are stored as JPEGs of one size. vitrail trains as `vitrail fit` does in a later epoch, timm with
its loader and the loop of its training script, and a plain loop over torchvision's ImageFolder: the same network,
batches, crops, flips, loss and optimizer. Each contender runs in a process of its own; their turns, an epoch each,
alternate in shuffled order, and ratios are taken within a round. CPU-seconds count the loaders' processes. The part
`processes` compares two processes of vitrail, which exchange gradients (DDP), with one, at the network alone: each has
a core, a thread, and --batch images a step."""


def main(args: Sequence[str]) -> int:
    parser = config_parser("bench train", ABOUT)
    parser.add_argument("--photos", type=str, help="a folder of photographs")
    parser.add_argument("--width", type=int, default=640, help="of the stored photos")
    parser.add_argument("--height", type=int, default=480, help="of the stored photos")
    parser.add_argument("--images", type=int, default=256, help="number of stored photos")
    parser.add_argument("--size", type=int, default=224, help="side of the canvas")
    parser.add_argument("--batch", type=int, default=32, help="images a batch")
    parser.add_argument("--workers", type=int, default=1, help="processes of each loader")
    parser.add_argument("--net", type=str, default="deit_tiny_patch16_224", help="any ViT or CNN of timm")
    parser.add_argument(
        "--precision",
        type=Literal["32-true", "bf16-mixed", "auto"],
        default="32-true",
        help="of all; auto: what vitrail fit finds the fastest, beside the others in float32",
    )
    parser.add_argument(
        "--parts",
        default="pipeline alone,network alone,both",
        help="what is measured, separated by commas; also: processes",
    )
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds, at least 5")
    parser.add_argument("--seed", type=int, default=0, help="of the order in each round")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    options = read(parser, args)
    if options.photos is None:
        raise UsageError("which photographs? vitrail bench train --photos DIR")
    require_folder(options.json)
    stop_servers_on_sigterm()

    from vitrail.bench.train.measure import measure, report_text
    from vitrail.bench.train.plan import Plan

    values = {name: value for name, value in vars(options).items() if name not in ("json", "config", "parts")}
    parts = tuple(dict.fromkeys(part.strip() for part in options.parts.split(",")))
    report = measure(Plan(**values, parts=parts), lambda line: print(line, file=sys.stderr))
    write_report(report, options.json)
    print(report_text(report))
    return 0
