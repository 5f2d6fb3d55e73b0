"""vitrail bench attention: time and memory of every mechanism and rival against the number of vectors."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vitrail.commands.bench.options import require_folder, sizes, write_report
from vitrail.parsers import config_parser, read

ABOUT = """Measure time and memory of every attention mechanism against the number of vectors.

  vitrail bench attention
  vitrail bench attention --json attention.json --plot attention.png --markdown
  vitrail bench attention --sides 16,32,64 --mechanisms softmax,window

One call forward and backward on the vectors of a square grid, with each mechanism alone and with its projections. All
alternate in shuffled order, round by round; slopes of log time over log N and ratios are taken within a round. Memory
is what torch's profiler counts; what might need more than 2 GiB is left out. Gradients are those of the last output of
a row of vectors with respect to one so far before it, with weights as they are drawn."""


def main(args: Sequence[str]) -> int:
    parser = config_parser("bench attention", ABOUT)
    parser.add_argument("--sides", type=str | int | list[int], default="16,24,32,64", help="sides of the square grids")
    parser.add_argument("--mechanisms", type=str | list[str] | None, help="mechanisms, such as softmax,window (all)")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds, at least 5")
    parser.add_argument("--seconds", type=float, default=0.1, help="seconds of each contender in a round")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--seed", type=int, default=0, help="of weights, vectors and the order in each round")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    parser.add_argument("--plot", type=str | None, help="also draw it into this PNG")
    parser.add_argument("--markdown", action="store_true", help="print tables for a page of documentation")
    options = read(parser, args)
    require_folder(options.json)
    require_folder(options.plot)

    # Read when torch's profiler is loaded: without it the profiler logs to stderr, which is for progress.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")

    from vitrail.bench.attention.measure import Plan, measure
    from vitrail.bench.attention.plot import plot
    from vitrail.bench.attention.table import report_text

    chosen = {} if options.mechanisms is None else {"mechanisms": names(options.mechanisms)}
    plan = Plan(
        sides=sizes(options.sides),
        rounds=options.rounds,
        seconds=options.seconds,
        threads=options.threads,
        seed=options.seed,
        **chosen,
    )
    report = measure(plan, lambda line: print(line, file=sys.stderr))
    write_report(report, options.json)
    if options.plot:
        plot(report, Path(options.plot))
    print(report_text(report, options.markdown))
    return 0


def names(value: str | list[str]) -> tuple[str, ...]:
    return tuple(value.split(",") if isinstance(value, str) else value)
