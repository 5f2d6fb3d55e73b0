"""Keeps a study's small files in this folder, and writes the README's table from all that are kept.

python docs/studies/keep.py runs/study-digits
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitrail.atomic import write_atomically
from vitrail.training.report.words import count, percent, points_range

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
BEGIN, END = "<!-- studies: written by docs/studies/keep.py -->", "<!-- /studies -->"
LARGE = ("*.ckpt", "*.npz")  # weights, and the answers to every test picture


def keep(study: Path) -> None:
    name = json.loads((study / "plan.json").read_text())["plan"]["name"]
    shutil.rmtree(HERE / name, ignore_errors=True)
    shutil.copytree(study, HERE / name, ignore=shutil.ignore_patterns(*LARGE))


def readme_with_tables(text: str) -> str:
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{tables()}{END}{rest.split(END)[1]}"


def tables() -> str:
    return "".join(table(folder) + "\n" for folder in sorted(path.parent for path in HERE.glob("*/curves.json")))


def table(folder: Path) -> str:
    """Who is right how often at every size, and how far the leader is ahead."""
    curves = json.loads((folder / "curves.json").read_text())
    seeds = len(json.loads((folder / "plan.json").read_text())["plan"]["seeds"])
    sizes: list[int] = curves["sizes"]
    title = f"{folder.name}, {count(curves['test_pictures'])} test pictures, {seeds} seeds"
    head = [f"[{title}](docs/studies/{folder.name}/report.md)", *map(count, sizes)]
    rows = [head, ["---", *("---:" for _ in sizes)], *(row(one, sizes) for one in curves["contenders"])]
    rows += [gaps(pair, sizes) for pair in curves["pairs"]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def row(contender: dict[str, Any], sizes: list[int]) -> list[str]:
    right = {point["pictures"]: percent(1 - point["error"]) for point in contender["points"]}
    return [f"{contender['name']}, right", *(right.get(size, "") for size in sizes)]


def gaps(pair: dict[str, Any], sizes: list[int]) -> list[str]:
    """In points of accuracy by which the second is ahead of the first."""
    measured = {gap["pictures"]: points_range(gap["gap"], gap["low"], gap["high"]) for gap in pair["measured"]}
    return [f"{pair['second']} ahead by, points", *(measured.get(size, "") for size in sizes)]


def main(studies: Sequence[str]) -> None:
    for study in studies:
        keep(Path(study))
    write_atomically(README, readme_with_tables(README.read_text()).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
