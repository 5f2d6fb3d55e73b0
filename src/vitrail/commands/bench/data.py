"""vitrail bench data: training images from files to batches, beside timm's loader and torchvision's."""

import sys
from collections.abc import Sequence

from vitrail.commands.bench.options import require_folder, write_report
from vitrail.errors import UsageError
from vitrail.parsers import config_parser, read

ABOUT = """Measure what training images cost: from files to batches of random crops, and beside the network.

  vitrail bench data --photos DIR
  vitrail bench data --photos DIR --width 1600 --height 1200 --workers 2

Photos of the folder are stored as JPEGs of one size. An epoch of them is read by vitrail (the first, which decodes and
keeps them, and later ones), by timm's loader and by torchvision's ImageFolder, in shuffled order, round by round;
images per CPU-second count the loaders' processes. Then steps of a network that the pipeline feeds alternate with steps
on one batch that is always there; `vitrail bench train` compares whole training."""


def main(args: Sequence[str]) -> int:
    parser = config_parser("bench data", ABOUT)
    parser.add_argument("--photos", type=str, help="a folder of photographs")
    parser.add_argument("--width", type=int, default=640, help="of the stored photos")
    parser.add_argument("--height", type=int, default=480, help="of the stored photos")
    parser.add_argument("--images", type=int, default=512, help="number of stored photos")
    parser.add_argument("--size", type=int, default=224, help="side of the canvas")
    parser.add_argument("--batch", type=int, default=32, help="images a batch")
    parser.add_argument("--workers", type=int, default=1, help="processes of each loader")
    parser.add_argument("--net", type=str, default="deit_tiny_patch16_224", help="timm's name of the network")
    parser.add_argument("--steps", type=int, default=8, help="steps of the network a turn")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds, at least 5")
    parser.add_argument("--seed", type=int, default=0, help="of the order in each round")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    options = read(parser, args)
    if options.photos is None:
        raise UsageError("which photographs? vitrail bench data --photos DIR")
    require_folder(options.json)

    from vitrail.bench.data.measure import Plan, measure, report_text

    values = {name: value for name, value in vars(options).items() if name not in ("json", "config")}
    report = measure(Plan(**values), lambda line: print(line, file=sys.stderr))
    write_report(report, options.json)
    print(report_text(report))
    return 0
