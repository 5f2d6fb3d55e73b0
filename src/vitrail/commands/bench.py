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
    "forms": "what each form of a part of the ViT is worth: short fits, several seeds",
}

INFER = """Measure how fast one network answers, computed in many ways with the same weights.

  vitrail bench infer
  vitrail bench infer --name vit_small_patch16_224 --batches 1,8,32 --json small.json

Contenders: the file of `vitrail export`, those of timm's and (after `make peers`) of optimum's exporter, torch eager
and torch.compile. Whose logits are not the network's is left out. All take turns in shuffled order, round by round;
ratios are taken within a round. Our file takes uint8 pictures and normalises them itself; to the others normalised
pixels are handed, which favours them, unless the table says otherwise."""


ATTENTION = "softmax,additive,relu,linear,window reach=1,dilated reach=1,graph,gpsa,inducing"


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0 if args else UsageError.exit_code
    kind, *rest = args
    if kind not in KINDS:
        raise UsageError(f"there is nothing called '{kind}' to measure; there is {', '.join(KINDS)}")
    return {"infer": infer, "forms": forms}[kind](rest)


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


FORMS = """Fit a small ViT from scratch in each form of one of its parts, all else equal, and compare.

  vitrail bench forms --data.path digits --data.size 8 --patch 1
  vitrail bench forms --data.path fashion-mnist --data.size 28 --patch 4 --pictures 10000 --steps 800
  vitrail bench forms --vary positions --forms none,learned,sincos2d,rope

A form is a name, or a name with settings: 'window reach=2'. Each fit has one thread; --workers of them run at once."""


def forms(args: Sequence[str]) -> int:
    if find_spec("jsonargparse") is None or find_spec("torch") is None:
        raise VitrailError("`vitrail bench forms` needs pip install 'vitrail[cpu,train,export]'")
    parser = config_parser("bench forms", FORMS)
    parser.add_argument("--data.path", type=str, default="digits", help="pictures, as `vitrail fit` takes them")
    parser.add_argument("--data.size", type=int, default=8, help="side of the canvas in pixels")
    parser.add_argument("--patch", type=int, default=1, help="side of a patch in pixels")
    parser.add_argument("--pictures", type=int | None, help="use only so many pictures for training")
    parser.add_argument("--steps", type=int, default=300, help="of each fit")
    parser.add_argument("--batch", type=int, default=128, help="pictures a step")
    parser.add_argument("--rate", type=float, default=0.002, help="the highest learning rate")
    parser.add_argument("--vary", type=str, default="attention", help="which argument of the ViT differs")
    parser.add_argument("--forms", type=str, default=ATTENTION, help="its forms, with commas between them")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each form")
    parser.add_argument("--workers", type=int, default=1, help="fits at once")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    parser.add_argument("--maps", type=str | None, help="a folder for drawings of what the first fit of each looks at")
    options = read(parser, args)

    from vitrail.bench.forms import Plan, draw, run, table, to_json

    plan = Plan(
        path=options.data.path,
        size=options.data.size,
        patch=options.patch,
        pictures=options.pictures,
        steps=options.steps,
        batch=options.batch,
        rate=options.rate,
        vary=options.vary,
        forms=tuple(form.strip() for form in options.forms.split(",")),
        seeds=tuple(range(options.seeds)),
    )
    plan.check()
    fits = run(
        plan,
        options.workers,
        lambda fit: print(f"{fit.form}, seed {fit.seed}: {fit.accuracy:.3f} in {fit.seconds:.0f} s", file=sys.stderr),
    )
    if options.json:
        Path(options.json).write_text(to_json(plan, fits) + "\n")
    if options.maps:
        draw(fits, Path(options.maps))
    print(table(fits))
    return 0


def sizes(words: Any) -> tuple[int, ...]:
    """Batch sizes from `1,8`, `8` or a YAML list."""
    try:
        return tuple(int(word) for word in (words if isinstance(words, list) else str(words).split(",")))
    except ValueError as fault:
        raise UsageError(f"batch sizes are numbers with commas between them, not '{words}'") from fault
