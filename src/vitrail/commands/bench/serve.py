"""vitrail bench serve: servers of one model file under load."""

import sys
from collections.abc import Sequence

from vitrail.commands import require_packages
from vitrail.commands.bench.options import require_folder, sizes, stop_servers_on_sigterm, write_report
from vitrail.errors import UsageError
from vitrail.parsers import config_parser, read

ABOUT = """Measure servers of one model file under load, all on this machine's CPU.

  vitrail bench serve --model model.onnx
  vitrail bench serve --model model.onnx --parts load --connections 16,64 --json load.json
  vitrail bench serve --model model.onnx --parts load --processes 2

load      our server and (after `make peers`) LitServe, FastAPI + onnxruntime, BentoML's own APIs and MLServer, with
          the same file, options and images, and the bare onnxruntime session with the same decoding as the ceiling
overload  our server at 80 % and 200 % of its capacity, in an open loop
start     seconds to be ready beside a BentoML service without a model, and again after the worker is killed; and
          memory at rest
attack    our server beside one attacker at a time: its memory, and the latency of a healthy client; only on request,
          as each attacker takes a minute

Clients are a process of their own, on the same cores. All alternate in shuffled order, round by round; ratios are
taken within a round. A server whose predictions differ from the file's is left out."""


def main(args: Sequence[str]) -> int:
    require_packages("bentoml")
    parser = config_parser("bench serve", ABOUT)
    parser.add_argument("--model", type=str, help="a model.onnx written by `vitrail export`")
    parser.add_argument("--parts", type=str, default="load,overload,start", help="parts to measure")
    parser.add_argument(
        "--connections", type=str | int | list[int], default="1,16,64", help="concurrent clients in load"
    )
    parser.add_argument(
        "--processes",
        type=str | int | list[int] | None,
        help="under load, also ours with so many processes that answer",
    )
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds, at least 5")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each contender in a round")
    parser.add_argument("--overload_seconds", type=float, default=120.0, help="seconds at 80 and at 200 percent")
    parser.add_argument("--attackers", type=str | None, help="comma-separated attackers (all)")
    parser.add_argument("--seed", type=int, default=0, help="of images, requests and the order in each round")
    parser.add_argument("--peers", type=str, default=".peers", help="folder of `make peers`")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    options = read(parser, args)
    if options.model is None:
        raise UsageError("which model? vitrail bench serve --model model.onnx")
    require_folder(options.json)

    from vitrail.bench.serve.attackers import ATTACKERS
    from vitrail.bench.serve.measure import Plan, measure
    from vitrail.bench.serve.table import report_text

    plan = Plan(
        model=options.model,
        parts=tuple(options.parts.split(",")),
        connections=sizes(options.connections),
        rounds=options.rounds,
        seconds=options.seconds,
        overload_seconds=options.overload_seconds,
        attackers=tuple(options.attackers.split(",")) if options.attackers else tuple(ATTACKERS),
        peers=options.peers,
        processes=sizes(options.processes) if options.processes else (),
        seed=options.seed,
    )
    stop_servers_on_sigterm()
    report = measure(plan, lambda line: print(line, file=sys.stderr))
    write_report(report, options.json)
    print(report_text(report))
    return 0
