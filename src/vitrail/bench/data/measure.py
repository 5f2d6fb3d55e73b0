"""Images per CPU-second beside other loaders; and a step fed by the pipeline beside one that waits for nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from vitrail.bench.core.report import Progress, Report, silent
from vitrail.bench.core.rounds import MedianInterval, Times, median_interval, shuffled_rounds, speedups
from vitrail.bench.core.tables import interval_text, rounds_text, text_table
from vitrail.bench.data.loaders import OurEpochs, consumed, cpu_seconds, folder_loader, timm_loader
from vitrail.bench.data.photo_set import photographs, write_photo_set
from vitrail.bench.data.plan import PhotosPlan
from vitrail.bench.data.steps import FED, RESIDENT, Training, fed_and_resident
from vitrail.runtime.machine import installed_versions

FIRST, LATER, TIMM, FOLDER = "vitrail, first epoch", "vitrail, later epochs", "timm", "ImageFolder"
PACKAGES = ("vitrail", "torch", "torchvision", "timm", "pillow", "numpy")


@dataclass(frozen=True, kw_only=True)
class Plan(PhotosPlan):
    """What to measure and how long."""

    steps: int = 8


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
        write_photo_set(folder, plan.images, photographs(plan.photos, plan.width, plan.height))
        ours = OurEpochs(folder, Path(temporary), plan.size, plan.batch, plan.workers)
        ours.later()  # fills the cache
        peer = (folder / "train", plan.size, plan.batch, plan.workers)
        epochs: dict[str, Callable[[], int]] = {
            FIRST: ours.first,
            LATER: ours.later,
            TIMM: lambda: consumed(timm_loader(*peer).loader),  # up to the uint8 batch that it moves to the device
            FOLDER: lambda: consumed(folder_loader(*peer)),
        }
        times: Times = {name: [] for name in epochs}
        for name in shuffled_rounds(list(epochs), plan.rounds, plan.seed, lambda line: progress(f"epochs: {line}")):
            begin = cpu_seconds()
            images = epochs[name]()
            times[name].append((cpu_seconds() - begin) / images)
        training = Training(plan.net, plan.size, "cpu", plan.seed)
        steps = fed_and_resident(ours, training, plan, plan.steps, lambda line: progress(f"steps: {line}"))
    return DataReport(plan=plan, epochs=times, steps=steps, versions=installed_versions(PACKAGES))


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
