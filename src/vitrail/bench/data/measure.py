"""Images per CPU-second beside other loaders; and a step fed by the pipeline beside one that waits for nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Literal

import timm
import torch
import torch.nn.functional as F

from vitrail.bench.core.report import Progress, Report, RoundsPlan, silent
from vitrail.bench.core.rounds import MedianInterval, Times, median_interval, speedups
from vitrail.bench.core.tables import interval_text, rounds_text, text_table
from vitrail.bench.data.loaders import OurEpochs, cpu_seconds, folder_epoch, timm_epoch
from vitrail.bench.decode.photos import find_photos, from_camera
from vitrail.errors import UsageError
from vitrail.runtime.machine import installed_versions
from vitrail.training.batches import Batch

FIRST, LATER, TIMM, FOLDER = "vitrail, first epoch", "vitrail, later epochs", "timm", "ImageFolder"
FED, RESIDENT = "fed by the pipeline", "one resident batch"
HELD_OUT = 4  # photos of each other part, so that nearly all are trained on
PACKAGES = ("vitrail", "torch", "torchvision", "timm", "pillow", "numpy")


@dataclass(frozen=True, kw_only=True)
class Plan(RoundsPlan):
    """What to measure and how long."""

    photos: str
    width: int = 640
    height: int = 480
    images: int = 512
    size: int = 224
    batch: int = 32
    workers: int = 1
    net: str = "deit_tiny_patch16_224"
    steps: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.batch <= self.images:
            raise UsageError(f"{self.images} images make no batch of {self.batch}: give more --images")


@dataclass(frozen=True, kw_only=True)
class DataReport(Report):
    """CPU seconds an image of an epoch of each loader, and wall-clock seconds a step."""

    plan: Plan
    epochs: Times
    steps: Times
    kind: Literal["data"] = "data"

    def speedup(self, name: str, baseline: str) -> MedianInterval:
        return median_interval(speedups(self.epochs[name], self.epochs[baseline]))

    @property
    def fed(self) -> MedianInterval:
        """How fast steps are that the pipeline feeds, relative to those on a resident batch."""
        return median_interval(speedups(self.steps[FED], self.steps[RESIDENT]))


def measure(plan: Plan, progress: Progress = silent) -> DataReport:
    with TemporaryDirectory(prefix="vitrail-bench-") as temporary:
        folder = Path(temporary) / "photos"
        progress(f"{plan.images} photos of {plan.width}×{plan.height}")
        write_photos(plan, folder)
        ours = OurEpochs(folder, Path(temporary), plan.size, plan.batch, plan.workers)
        ours.later()  # fills the cache
        peer = (folder / "train", plan.size, plan.batch, plan.workers)
        epochs: dict[str, Callable[[], int]] = {
            FIRST: ours.first,
            LATER: ours.later,
            TIMM: lambda: timm_epoch(*peer),
            FOLDER: lambda: folder_epoch(*peer),
        }
        times: Times = {name: [] for name in epochs}
        for name in in_rounds(list(epochs), plan, lambda line: progress(f"epochs: {line}")):
            begin = cpu_seconds()
            images = epochs[name]()
            times[name].append((cpu_seconds() - begin) / images)
        steps = measure_steps(plan, ours, lambda line: progress(f"steps: {line}"))
    return DataReport(plan=plan, epochs=times, steps=steps, versions=installed_versions(PACKAGES))


def write_photos(plan: Plan, folder: Path) -> None:
    """Photos of the plan's size in two classes, made from those of its folder."""
    photos = find_photos(plan.photos)
    parts = [*["train"] * plan.images, *["val"] * HELD_OUT, *["test"] * HELD_OUT]
    for index, part in enumerate(parts):
        file = folder / part / f"class {index % 2}" / f"{index:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        jpeg = from_camera(photos[index % len(photos)], plan.width, plan.height, 80 + index % 15)
        file.write_bytes(jpeg + str(index).encode())  # bytes after its end, so that no two files are the same


def in_rounds(names: list[str], plan: Plan, progress: Progress) -> Iterator[str]:
    """Each name once a round, in shuffled order."""
    random = Random(plan.seed)
    for number in range(plan.rounds):
        progress(f"round {number + 1} of {plan.rounds}")
        random.shuffle(names)
        yield from names


def measure_steps(plan: Plan, ours: OurEpochs, progress: Progress) -> Times:
    """Training steps of one network on batches of the pipeline, from the cache, and on one batch again and again."""
    torch.manual_seed(plan.seed)
    net = timm.create_model(plan.net, num_classes=2, img_size=plan.size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    batches = ours.endless()
    resident = next(batches)

    def step(batch: Batch) -> None:
        loss = F.cross_entropy(net(batch[0].float() / 255), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    times: Times = {FED: [], RESIDENT: []}
    step(resident)
    for name in in_rounds([FED, RESIDENT], plan, progress):
        begin = perf_counter()
        for _ in range(plan.steps):
            step(next(batches) if name == FED else resident)
        times[name].append((perf_counter() - begin) / plan.steps)
    batches.close()
    return times


def report_text(report: DataReport) -> str:
    plan = report.plan
    rows = [["loader", "images per CPU-second", "first epoch ×", "later epochs ×"]]
    for name, seconds in report.epochs.items():
        baseline = name in (TIMM, FOLDER)
        ratios = [interval_text(report.speedup(ours, name)) if baseline else "" for ours in (FIRST, LATER)]
        rows.append([name, f"{1 / median_interval(seconds).value:,.0f}", *ratios])
    steps = [f"{name} {1000 * median_interval(seconds).value:,.0f} ms" for name, seconds in report.steps.items()]
    title = f"{plan.images} photos of {plan.width}×{plan.height}, random crops of {plan.size}, batches of {plan.batch}"
    coverage = report.fed.coverage
    return "\n\n".join(
        [
            report.header(f"{title}, {plan.workers} worker(s)"),
            text_table(rows),
            f"a step of {plan.net}: {', '.join(steps)}; ratio {interval_text(report.fed)}",
            rounds_text(plan.rounds, coverage),
        ]
    )
