"""Keeps a study's small files in this folder, and writes the pages and the README's table of all that are kept.

python docs/studies/keep.py runs/study-digits
python docs/studies/keep.py

The second keeps nothing new: it writes the pages again, as after a change of their wording, from the numbers kept.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from vitrail.atomic import write_atomically
from vitrail.training.study.jobs import Done, Job, Result, Timing
from vitrail.training.study.report.formatting import count, percent, points_range
from vitrail.training.study.report.report import pages
from vitrail.training.study.report.results import Found, lost, place, read_latencies, read_plain, read_plan
from vitrail.training.study.statistics.findings import Forecast
from vitrail.training.study.store import FAILED, RESULT

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
BEGIN, END = "<!-- studies: written by docs/studies/keep.py -->", "<!-- /studies -->"
LARGE = ("*.ckpt", "*.npz")  # weights, and the answers to every test image


def keep(study: Path) -> None:
    name = json.loads((study / "plan.json").read_text())["plan"]["name"]
    shutil.rmtree(HERE / name, ignore_errors=True)
    shutil.copytree(study, HERE / name, ignore=shutil.ignore_patterns(*LARGE))


def readme_with_tables(text: str) -> str:
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{tables()}{END}{rest.split(END)[1]}"


def tables() -> str:
    return "".join(table(folder) + "\n" for folder in kept())


def kept() -> list[Path]:
    return sorted(path.parent for path in HERE.glob("*/curves.json"))


def table(folder: Path) -> str:
    """Who is right how often at every size, and how far the leader is ahead."""
    curves = json.loads((folder / "curves.json").read_text())
    seeds = len(json.loads((folder / "plan.json").read_text())["plan"]["seeds"])
    sizes: list[int] = curves["sizes"]
    title = f"{folder.name}, {count(curves['test_images'])} test images, {seeds} seeds"
    head = [f"[{title}](docs/studies/{folder.name}/report.md)", *map(count, sizes)]
    rows = [head, ["---", *("---:" for _ in sizes)], *(row(one, sizes) for one in curves["contenders"])]
    rows += [gaps(pair, sizes) for pair in curves["pairs"]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def row(contender: dict[str, Any], sizes: list[int]) -> list[str]:
    right = {point["images"]: percent(1 - point["error"]) for point in contender["points"]}
    return [f"{contender['name']}, right", *(right.get(size, "") for size in sizes)]


def gaps(pair: dict[str, Any], sizes: list[int]) -> list[str]:
    """In points of accuracy by which the second is ahead of the first."""
    measured = {gap["images"]: points_range(gap["gap"], gap["low"], gap["high"]) for gap in pair["measured"]}
    return [f"{pair['second']} ahead by, points", *(measured.get(size, "") for size in sizes)]


def pages_of(folder: Path) -> dict[str, bytes]:
    """The pages of a kept study. Its runs' answers are not kept, so the forecast is the one in `curves.json`."""
    plain, settled = read_plan(folder / "plan.json")
    curves = read_plain(folder / "curves.json")
    runs = sorted(map(read_done, folder.glob(f"runs/*/{RESULT}")), key=lambda done: place(settled, done.job))
    reported = tuple(done for done in runs if not done.job.tries)
    seeds = {done.job.seed for done in reported}
    faults = {str(name): str(why) for name, why in read_plain(folder / FAILED).items()}
    found = Found(
        settled=settled,
        hash=plain["hash"],
        reported=reported,
        trials=tuple(done for done in runs if done.job.tries),
        lost=tuple(lost(settled, runs, faults, seeds)),
        unused_seeds=tuple(seed for seed in settled.plan.seeds if seed not in seeds),
        latencies=read_latencies(folder / "timings.csv"),
        environment=read_plain(folder / "environment.json"),
        forecast=typed(Forecast, curves),
    )
    return pages(found)


def read_done(path: Path) -> Done:
    content = read_plain(path)
    return Done(Job(**content["job"]), Result(**content["result"]), Timing(**content["timing"]))


def typed(kind: Any, value: Any) -> Any:
    """What JSON has made of a dataclass, as that dataclass again."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: typed(hints[field.name], value[field.name]) for field in fields(kind)})  # type: ignore[operator]
    if get_origin(kind) is tuple:
        return tuple(typed(get_args(kind)[0], each) for each in value)
    if get_origin(kind) in (Union, UnionType) and value is not None:
        return typed(next(each for each in get_args(kind) if each is not type(None)), value)
    return value


def main(studies: Sequence[str]) -> None:
    for study in studies:
        keep(Path(study))
    for folder in kept():
        for name, content in pages_of(folder).items():
            write_atomically(folder / name, content)
    write_atomically(README, readme_with_tables(README.read_text()).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
