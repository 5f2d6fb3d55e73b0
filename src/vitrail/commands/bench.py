"""vitrail bench: measure vitrail beside its peers, in one run on one machine."""

import json
import signal
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
    "serve": "how our server bears load: beside its peers, overloaded, at its start and at rest",
    "soak": "whether our server holds more and more while it serves for long",
}

INFER = """Measure how fast one network answers, computed in many ways with the same weights.

  vitrail bench infer
  vitrail bench infer --name vit_small_patch16_224 --batches 1,8,32 --json small.json

Contenders: the file of `vitrail export`, those of timm's and (after `make peers`) of optimum's exporter, torch eager
and torch.compile. Whose logits are not the network's is left out. All take turns in shuffled order, round by round;
ratios are taken within a round. Our file takes uint8 pictures and normalises them itself; to the others normalised
pixels are handed, which favours them, unless the table says otherwise."""

SERVE = """Measure how servers of one model file bear load, all on this machine's CPU.

  vitrail bench serve --model model.onnx
  vitrail bench serve --model model.onnx --parts load --connections 16,64 --json load.json

load      our server and (after `make peers`) LitServe, FastAPI + onnxruntime, BentoML's own APIs and MLServer, with
          the same file, options and pictures, and the bare onnxruntime session with the same decoding as the ceiling
overload  our server at 80 % and 200 % of what it can bear, with callers who do not wait for each other
start     seconds to be ready beside a BentoML service without a model, and what is held at rest

Callers are a process of their own, on the same cores. All take turns in shuffled order, round by round; ratios are
taken within a round. A server that answers otherwise than the file does is left out."""

SOAK = """Keep our server under load for long, and look again and again at what it holds.

  vitrail bench soak --model model.onnx
  vitrail bench soak --model model.onnx --minutes 5 --stretch 10

Ends with 1 where memory, open files or threads grow once the server has settled."""


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0 if args else UsageError.exit_code
    kind, *rest = args
    if kind not in KINDS:
        raise UsageError(f"there is nothing called '{kind}' to measure; there is {', '.join(KINDS)}")
    return {"infer": infer, "serve": serve, "soak": soak}[kind](rest)


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
    require_folder(options.json)

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


def serve(args: Sequence[str]) -> int:
    if find_spec("jsonargparse") is None or find_spec("bentoml") is None:
        raise VitrailError("`vitrail bench serve` needs pip install 'vitrail[cpu,serve]'")
    parser = config_parser("bench serve", SERVE)
    parser.add_argument("--model", type=str, help="a model.onnx written by `vitrail export`")
    parser.add_argument("--parts", type=str, default="load,overload,start", help="what to measure of these")
    parser.add_argument("--connections", type=str | int | list[int], default="1,16,64", help="callers at once, in load")
    parser.add_argument("--rounds", type=int, default=7, help="how often all take their turn, at least 5")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long one turn takes")
    parser.add_argument("--overload_seconds", type=float, default=60.0, help="how long 80 and 200 percent last each")
    parser.add_argument("--seed", type=int, default=0, help="of pictures, calls and the order of turns")
    parser.add_argument("--peers", type=str, default=".peers", help="where `make peers` has put the peers")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    options = read(parser, args)
    if options.model is None:
        raise UsageError("which model? vitrail bench serve --model model.onnx")
    require_folder(options.json)

    from vitrail.bench.serve.measure import measure
    from vitrail.bench.serve.plan import Plan
    from vitrail.bench.serve.table import report_text

    plan = Plan(
        model=options.model,
        parts=tuple(options.parts.split(",")),
        connections=sizes(options.connections),
        rounds=options.rounds,
        seconds=options.seconds,
        overload_seconds=options.overload_seconds,
        peers=options.peers,
        seed=options.seed,
    )
    end_servers_when_told_to_end()
    report = measure(plan, lambda line: print(line, file=sys.stderr))
    if options.json:
        Path(options.json).write_text(json.dumps(asdict(report), indent=1) + "\n")
    print(report_text(report))
    return 0


def soak(args: Sequence[str]) -> int:
    if find_spec("jsonargparse") is None or find_spec("bentoml") is None:
        raise VitrailError("`vitrail bench soak` needs pip install 'vitrail[cpu,serve]'")
    parser = config_parser("bench soak", SOAK)
    parser.add_argument("--model", type=str, help="a model.onnx written by `vitrail export`")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long")
    parser.add_argument("--stretch", type=float, default=20.0, help="seconds of load between two looks")
    parser.add_argument("--seed", type=int, default=0, help="of pictures")
    parser.add_argument("--json", type=str | None, help="also write every look into this file")
    options = read(parser, args)
    if options.model is None:
        raise UsageError("which model? vitrail bench soak --model model.onnx")
    require_folder(options.json)

    from vitrail.bench.serve.soak import soak, soak_text

    end_servers_when_told_to_end()
    found = soak(
        options.model, options.minutes, options.stretch, options.seed, lambda line: print(line, file=sys.stderr)
    )
    if options.json:
        Path(options.json).write_text(json.dumps(asdict(found), indent=1) + "\n")
    print(soak_text(found))
    return 0 if found.flat else 1


def end_servers_when_told_to_end() -> None:
    """Servers have sessions of their own, so nobody but us ends them; SIGTERM alone would leave them behind."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def require_folder(file: str | None) -> None:
    if file and not Path(file).absolute().parent.is_dir():
        raise UsageError(f"there is no folder for {file}")


def sizes(words: Any) -> tuple[int, ...]:
    """Batch sizes from `1,8`, `8` or a YAML list."""
    try:
        return tuple(int(word) for word in (words if isinstance(words, list) else str(words).split(",")))
    except ValueError as fault:
        raise UsageError(f"batch sizes are numbers with commas between them, not '{words}'") from fault
