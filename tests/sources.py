"""Small data sets of every kind of folder: 40 different images of noise, 4 × 4 pixels."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 40


def draw_images(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)


def pile(folder: Path) -> None:
    draw_images(folder, [f"{'cat' if i % 2 else 'dog'}/{i:02d}.png" for i in range(COUNT)])


def split(folder: Path) -> None:
    parts = ["train"] * 24 + ["val"] * 8 + ["test"] * 8
    draw_images(folder, [f"{part}/{'cat' if i % 2 else 'dog'}/{i:02d}.png" for i, part in enumerate(parts)])


def table(name: str, head: str, row: Callable[[int], str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        draw_images(folder, [f"{i:02d}.png" for i in range(COUNT)])
        lines = [head, *(f"{i:02d}.png,{row(i)}" for i in range(COUNT))]
        (folder / name).write_text("\n".join(lines) + "\n")

    return write


def maps(folder: Path) -> None:
    table("maps.csv", "path,map", lambda i: f"maps/{i:02d}.png")(folder)
    (folder / "classes.txt").write_text("ground\ncell\n")
    (folder / "maps").mkdir()
    for i in range(COUNT):
        pixels = np.random.default_rng(100 + i).integers(0, 2, (4, 4), np.uint8)
        Image.fromarray(pixels).save(folder / f"maps/{i:02d}.png")


def idx(folder: Path) -> None:
    for half, count in (("train", COUNT), ("t10k", 10)):
        grey = np.random.default_rng(count).integers(0, 256, (count, 4, 4), np.uint8)
        labels = (np.arange(count) % 2).astype(np.uint8)
        for name, numbers in ((f"{half}-images-idx3-ubyte", grey), (f"{half}-labels-idx1-ubyte", labels)):
            head = struct.pack(f">HBB{numbers.ndim}I", 0, 8, numbers.ndim, *numbers.shape)
            (folder / name).write_bytes(head + numbers.tobytes())


FOLDERS: dict[str, Callable[[Path], None]] = {
    "pile": pile,
    "split": split,
    "labels": table("labels.csv", "path,labels", lambda i: "oak;fir" if i % 3 else "fir"),
    "values": table("values.csv", "path,height", str),
    "maps": maps,
    "idx": idx,
}
