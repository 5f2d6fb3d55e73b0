"""vitrail bench serve: servers of one model file under load."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from vitrail.commands.bench.options import require_folder, sizes, stop_servers_on_sigterm, write_report
from vitrail.errors import UsageError, VitrailError
from vitrail.parsers import config_parser, read

ABOUT = """Measure how servers of one model file bear load, all on this machine's CPU.

  vitrail bench serve --model model.onnx
  vitrail bench serve --model model.onnx --parts load --connections 16,64 --json load.json

load      our server and (after `make peers`) LitServe, FastAPI + onnxruntime, BentoML's own APIs and MLServer, with
          the same file, options and images, and the bare onnxruntime session with the same decoding as the ceiling
overload  our server at 80 % and 200 % of what it can bear, with callers who do not wait for each other
start     seconds to be ready beside a BentoML service without a model, and again once the worker is killed; and what
          is held at rest
attack    our server beside one attacker at a time: the memory that it takes, and how long a healthy caller waits; only
          where it is asked for, as each attacker takes a minute

Callers are a process of their own, on the same cores. All take turns in shuffled order, round by round; ratios are
taken within a round. A server that answers otherwise than the file does is left out."""


def main(args: Sequence[str]) -> int:
    if find_spec("jsonargparse") is None or find_spec("bentoml") is None:
        raise VitrailError("`vitrail bench serve` needs pip install 'vitrail[cpu,serve]'")
    parser = config_parser("bench serve", ABOUT)
    parser.add_argument("--model", type=str, help="a model.onnx written by `vitrail export`")
    parser.add_argument("--parts", type=str, default="load,overload,start", help="what to measure of these")
    parser.add_argument("--connections", type=str | int | list[int], default="1,16,64", help="callers at once, in load")
    parser.add_argument("--rounds", type=int, default=7, help="how often all take their turn, at least 5")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long one turn takes")
    parser.add_argument("--overload_seconds", type=float, default=120.0, help="how long 80 and 200 percent last each")
    parser.add_argument("--attackers", type=str | None, help="which of them (default: all), with commas between them")
    parser.add_argument("--seed", type=int, default=0, help="of images, calls and the order of turns")
    parser.add_argument("--peers", type=str, default=".peers", help="where `make peers` has put the peers")
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
        seed=options.seed,
    )
    stop_servers_on_sigterm()
    report = measure(plan, lambda line: print(line, file=sys.stderr))
    write_report(report, options.json)
    print(report_text(report))
    return 0
