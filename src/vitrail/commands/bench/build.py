"""vitrail bench build: what `vitrail build` reaches in a few minutes, beside timm's training script."""

import sys
from collections.abc import Sequence

from vitrail.commands.bench.options import require_folder, stop_servers_on_sigterm, write_report
from vitrail.errors import UsageError
from vitrail.parsers import config_parser, read

ABOUT = """Build a model of each set, then train with timm's train.py in the same CPU time, and compare on test images.

  vitrail bench build --sets my_images --weights weights --script pytorch-image-models/train.py
  vitrail bench build --sets signs,trash --weights weights --script train.py --minutes 5 --seeds 3

timm gets the network that the build chose, the same weights, split, seed, precision and batch, crops of the same scale,
and the number of epochs that comes nearest to the CPU-seconds of the build. Its test accuracy is that of its best
weights on the validation images."""


def main(args: Sequence[str]) -> int:
    parser = config_parser("bench build", ABOUT)
    parser.add_argument("--sets", type=str | None, help="folders of images, with commas between them")
    parser.add_argument("--weights", type=str | None, help="a folder of pretrained weights")
    parser.add_argument("--script", type=str | None, help="timm's train.py")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each build")
    parser.add_argument("--seeds", type=int, default=3, help="splits and starts of each set")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    options = read(parser, args)
    if options.sets is None or options.weights is None or options.script is None:
        raise UsageError("which images, weights and script? vitrail bench build --sets DIR --weights DIR --script FILE")
    require_folder(options.json)
    stop_servers_on_sigterm()

    from vitrail.bench.build.measure import Plan, measure, report_text

    sets = tuple(path.strip() for path in options.sets.split(","))
    plan = Plan(sets, options.weights, options.script, options.minutes, options.seeds)
    report = measure(plan, lambda line: print(line, file=sys.stderr, flush=True))
    write_report(report, options.json)
    print(report_text(report))
    return 0
