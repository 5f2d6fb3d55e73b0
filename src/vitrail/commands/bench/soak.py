"""vitrail bench soak: our server under long load."""

import sys
from collections.abc import Sequence

from vitrail.commands import require_packages
from vitrail.commands.bench.options import require_folder, stop_servers_on_sigterm, write_report
from vitrail.errors import UsageError
from vitrail.parsers import config_parser, read

ABOUT = """Keep our server under load for long, and measure its memory, files and threads after each stretch.

  vitrail bench soak --model model.onnx
  vitrail bench soak --model model.onnx --minutes 5 --stretch 10

The exit code is 1 where one of these grows after the warm-up."""


def main(args: Sequence[str]) -> int:
    require_packages("bentoml")
    parser = config_parser("bench soak", ABOUT)
    parser.add_argument("--model", type=str, help="a model.onnx written by `vitrail export`")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long")
    parser.add_argument("--stretch", type=float, default=20.0, help="seconds of load between two measurements")
    parser.add_argument("--seed", type=int, default=0, help="of images")
    parser.add_argument("--json", type=str | None, help="also write every measurement into this file")
    options = read(parser, args)
    if options.model is None:
        raise UsageError("which model? vitrail bench soak --model model.onnx")
    require_folder(options.json)

    from vitrail.bench.serve.soak import soak, soak_text

    stop_servers_on_sigterm()
    report = soak(
        options.model, options.minutes, options.stretch, options.seed, lambda line: print(line, file=sys.stderr)
    )
    write_report(report, options.json)
    print(soak_text(report))
    return 0 if report.flat else 1
