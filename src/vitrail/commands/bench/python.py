"""vitrail bench python: the cost of `import vitrail`, `vitrail.load` and predictions on arrays."""

import sys
from collections.abc import Sequence

from vitrail.commands.bench.options import require_folder, sizes, write_report
from vitrail.errors import UsageError
from vitrail.parsers import config_parser, read

ABOUT = """Measure the Python interface on this machine's CPU.

  vitrail bench python --model model.onnx

First in fresh processes: `import vitrail`; `vitrail.load` and a first prediction; onnxruntime's session alone. Then
arrays of canvases through `Model.classify` beside the same session's `run`. All alternate in shuffled order, round by
round; ratios are taken within a round."""


def main(args: Sequence[str]) -> int:
    parser = config_parser("bench python", ABOUT)
    parser.add_argument("--model", type=str | None, help="a model.onnx written by `vitrail export`")
    parser.add_argument("--batches", type=int | str | list[int], default="1,8,32", help="images in an array")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds, at least 5")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of each contender in a round")
    parser.add_argument("--seed", type=int, default=0, help="of the order in each round")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    options = read(parser, args)
    if options.model is None:
        raise UsageError("which model? vitrail bench python --model model.onnx")
    require_folder(options.json)

    from vitrail.bench.python.measure import Plan, measure, report_text

    plan = Plan(
        options.model, sizes(options.batches), rounds=options.rounds, seconds=options.seconds, seed=options.seed
    )
    report = measure(plan, lambda line: print(line, file=sys.stderr))
    write_report(report, options.json)
    print(report_text(report))
    return 0
