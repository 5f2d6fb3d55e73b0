"""vitrail bench infer: one network, computed in many ways with the same weights."""

import sys
from collections.abc import Sequence

from vitrail.commands.bench.options import require_folder, sizes, write_report
from vitrail.parsers import config_parser, read

ABOUT = """Measure the inference speed of one network, computed in many ways with the same weights.

  vitrail bench infer
  vitrail bench infer --name vit_small_patch16_224 --batches 1,8,32 --json small.json

Contenders: the file of `vitrail export`, those of timm's and (after `make peers`) of optimum's exporter, torch eager
and torch.compile. A contender with other logits is left out. All alternate in shuffled order, round by round;
ratios are taken within a round. Our file takes uint8 images and normalises them itself; the others take normalised
pixels, which favours them, unless the table says otherwise."""


def main(args: Sequence[str]) -> int:
    parser = config_parser("bench infer", ABOUT)
    parser.add_argument("--name", type=str, default="vit_tiny_patch16_224", help="any ViT of timm")
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument(
        "--batches", type=str | int | list[int] | None, help="batch sizes, such as 1,8 (the default; on a GPU 64)"
    )
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds, at least 5")
    parser.add_argument("--seconds", type=float, default=0.4, help="seconds of each contender in a round")
    parser.add_argument("--threads", type=int | None, help="threads of each contender; by default one a usable core")
    parser.add_argument("--provider", type=str, default="cpu", choices=["cpu", "cuda"], help="where to compute")
    parser.add_argument("--seed", type=int, default=0, help="of weights, images and the order in each round")
    parser.add_argument("--peers", type=str, default=".peers", help="folder of `make peers`")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    options = read(parser, args)
    batches = sizes(options.batches if options.batches is not None else "64" if options.provider == "cuda" else "1,8")
    require_folder(options.json)

    from vitrail.bench.infer.measure import Plan, measure
    from vitrail.bench.infer.table import report_text

    plan = Plan(
        name=options.name,
        size=options.size,
        batches=batches,
        rounds=options.rounds,
        seconds=options.seconds,
        threads=options.threads,
        provider=options.provider,
        peers=options.peers,
        seed=options.seed,
    )
    report = measure(plan, lambda line: print(line, file=sys.stderr))
    write_report(report, options.json)
    print(report_text(report))
    return 0
