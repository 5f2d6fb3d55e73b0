"""vitrail bench decode: photos to canvases, beside decoding all of their pixels."""

import sys
from collections.abc import Sequence
from pathlib import Path

from vitrail.commands.bench.options import require_folder, write_report
from vitrail.errors import UsageError
from vitrail.parsers import config_parser, read

ABOUT = """Measure how fast photos of 12 megapixels become canvases, and what decoding them at a smaller scale changes.

  vitrail bench decode --photos DIR
  vitrail bench decode --photos DIR --cut views --seed 1
  vitrail bench decode --photos DIR --model model.onnx --views 2000

The first stores each photo of the folder as 4000×3000 JPEG and times `images.fit` beside decoding all pixels and the
same resizing, on one core; both alternate in shuffled order, round by round; ratios are taken within a round.
The second writes views cut from the photos, one folder a photo, to fit a model on which photo a view comes from.
The third also compares such a model's predictions on other views of two megapixels or more, decoded both ways."""


def main(args: Sequence[str]) -> int:
    parser = config_parser("bench decode", ABOUT)
    parser.add_argument("--photos", type=str, help="a folder of photographs")
    parser.add_argument("--model", type=str | None, help="a model.onnx that tells these photographs apart")
    parser.add_argument("--views", type=int, default=2000, help="number of views to compare, or to cut")
    parser.add_argument("--cut", type=str | None, help="write the views into this new folder, and measure nothing")
    parser.add_argument("--size", type=int, default=224, help="side of the canvas, without a model")
    parser.add_argument("--quality", type=int, default=90, help="of the JPEG that a photo is stored as")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds, at least 5")
    parser.add_argument("--seed", type=int, default=0, help="of views and the order in each round")
    parser.add_argument("--json", type=str | None, help="also write everything that was measured into this file")
    options = read(parser, args)
    if options.photos is None:
        raise UsageError("which photographs? vitrail bench decode --photos DIR")
    require_folder(options.json)
    if options.cut:
        return cut(options.photos, options.views, options.seed, Path(options.cut))

    from vitrail.bench.decode.measure import Plan, measure, report_text

    plan = Plan(
        photos=options.photos,
        model=options.model,
        views=options.views,
        size=options.size,
        quality=options.quality,
        rounds=options.rounds,
        seed=options.seed,
    )
    report = measure(plan, lambda line: print(line, file=sys.stderr))
    write_report(report, options.json)
    print(report_text(report))
    return 0


def cut(photos: str, views: int, seed: int, folder: Path) -> int:
    from vitrail.bench.decode.photos import cut_views, find_photos, large_enough, write_views

    if folder.exists():
        raise UsageError(f"{folder} is there already: views are cut into a new folder")
    count = write_views(cut_views(large_enough(find_photos(photos)), views, seed), folder)
    print(f"{count:,} views in {folder}, one folder a photograph")
    return 0
