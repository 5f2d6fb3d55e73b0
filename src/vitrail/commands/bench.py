"""vitrail bench: measure vitrail beside its peers, in one run on one machine."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vitrail.commands.parsing import config_parser, read
from vitrail.errors import UsageError, VitrailError

KINDS = {
    "infer": "how fast one network answers: our file, other exporters' files, torch",
    "attention": "time and memory of every mechanism of attention against the number of vectors",
}

INFER = """Measure how fast one network answers, computed in many ways with the same weights.

  vitrail bench infer
  vitrail bench infer --name vit_small_patch16_224 --batches 1,8,32 --json small.json

Contenders: the file of `vitrail export`, those of timm's and (after `make peers`) of optimum's exporter, torch eager
and torch.compile. Whose logits are not the network's is left out. All take turns in shuffled order, round by round;
ratios are taken within a round. Our file takes uint8 pictures and normalises them itself; to the others normalised
pixels are handed, which favours them, unless the table says otherwise."""


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0 if args else UsageError.exit_code
    kind, *rest = args
    if kind not in KINDS:
        raise UsageError(f"there is nothing called '{kind}' to measure; there is {', '.join(KINDS)}")
    if kind == "attention":
        from vitrail.commands.bench_attention import attention

        return attention(rest)
    return infer(rest)


def usage() -> str:
    kinds = "\n".join(f"  {kind:<10}{what}" for kind, what in KINDS.items())
    return f"usage: vitrail bench KIND [OPTIONS]\n\n{kinds}\n\nvitrail bench KIND --help tells more."


def infer(args: Sequence[str]) -> int:
    if find_spec("jsonargparse") is None:
        raise VitrailError("`vitrail bench infer` needs pip install 'vitrail[cpu,train,export]'")
    parser = config_parser("bench infer", INFER)
    parser.add_argument("--name", type=str, default="vit_tiny_patch16_224", help="any ViT of timm")
    parser.add_argument("--size", type=int, default=224, help="side of the pictures in pixels")
    parser.add_argument(
        "--batches", type=str | int | list[int] | None, help="batch sizes, such as 1,8 (the default; on a GPU 64)"
    )
    parser.add_argument("--rounds", type=int, default=7, help="how often all take their turn, at least 5")
    parser.add_argument("--seconds", type=float, default=0.4, help="how long one turn takes")
    parser.add_argument("--threads", type=int | None, help="threads of everybody; by default one a usable core")
    parser.add_argument("--provider", type=str, default="cpu", choices=["cpu", "cuda"], help="where to compute")
    parser.add_argument("--seed", type=int, default=0, help="of weights, pictures and the order of turns")
    parser.add_argument("--peers", type=str, default=".peers", help="where `make peers` has put the peers")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    options = read(parser, args)
    batches = sizes(options.batches if options.batches is not None else "64" if options.provider == "cuda" else "1,8")
    if options.json and not Path(options.json).absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {options.json}")

    from vitrail.bench.infer import Plan, measure
    from vitrail.bench.table import report_text

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
    if options.json:
        Path(options.json).write_text(json.dumps(asdict(report), indent=1) + "\n")
    print(report_text(report))
    return 0


def sizes(words: Any) -> tuple[int, ...]:
    """Batch sizes from `1,8`, `8` or a YAML list."""
    try:
        return tuple(int(word) for word in (words if isinstance(words, list) else str(words).split(",")))
    except ValueError as fault:
        raise UsageError(f"batch sizes are numbers with commas between them, not '{words}'") from fault
