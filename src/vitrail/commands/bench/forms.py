"""vitrail bench forms: compare the forms of a part of the ViT."""

import sys
from collections.abc import Sequence
from pathlib import Path

from vitrail.commands.bench.options import require_folder
from vitrail.parsers import config_parser, read

ATTENTION = "softmax,additive,relu,linear,window reach=1,dilated reach=1,graph,gpsa,inducing"
ABOUT = """Fit a small ViT from scratch with each form of one of its parts, all else equal, and compare.

  vitrail bench forms --data.path digits --data.size 8 --patch 1
  vitrail bench forms --data.path fashion-mnist --data.size 28 --patch 4 --images 10000 --steps 800
  vitrail bench forms --vary positions --forms none,learned,sincos2d,rope

A form is a name, or a name with settings: 'window reach=2'. Each fit has one thread; --workers of them run at once."""


def main(args: Sequence[str]) -> int:
    parser = config_parser("bench forms", ABOUT)
    parser.add_argument("--data.path", type=str, default="digits", help="images, as `vitrail fit` takes them")
    parser.add_argument("--data.size", type=int, default=8, help="side of the canvas in pixels")
    parser.add_argument("--patch", type=int, default=1, help="side of a patch in pixels")
    parser.add_argument("--images", type=int | None, help="number of training images (all)")
    parser.add_argument("--steps", type=int, default=300, help="of each fit")
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--rate", type=float, default=0.002, help="the highest learning rate")
    parser.add_argument("--vary", type=str, default="attention", help="the argument of the ViT that differs")
    parser.add_argument("--forms", type=str, default=ATTENTION, help="its forms, with commas between them")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each form")
    parser.add_argument("--workers", type=int, default=1, help="fits at once")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    parser.add_argument("--maps", type=str | None, help="a folder for attention maps of the first fit of each form")
    options = read(parser, args)
    require_folder(options.json)

    from vitrail.bench.forms import Plan, draw, run, table, to_json

    plan = Plan(
        path=options.data.path,
        size=options.data.size,
        patch=options.patch,
        images=options.images,
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
