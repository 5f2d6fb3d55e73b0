"""Images per second and per CPU-second of pipeline, network and both, for three contenders in alternating turns."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Literal

from vitrail.bench.core.report import Progress, Report, silent
from vitrail.bench.core.rounds import MedianInterval, Times, median_interval, shuffled_rounds, speedups
from vitrail.bench.core.tables import interval_text, rounds_text, text_table
from vitrail.bench.data.loaders import NO_ROOM
from vitrail.bench.data.photo_set import photographs, write_photo_set
from vitrail.bench.train.contenders import RUN, our_epochs, our_module
from vitrail.bench.train.plan import BOTH, CONTENDERS, NETWORK, OURS, TIMM, Plan, Setup
from vitrail.bench.train.sessions import Session, ended
from vitrail.errors import VitrailError
from vitrail.runtime.machine import installed_versions

PACKAGES = ("vitrail", "torch", "torchvision", "timm", "pytorch-lightning", "pillow", "numpy")

Measured = dict[str, Times]  # seconds an image, one number a round, by part and contender


@dataclass(frozen=True, kw_only=True)
class TrainReport(Report):
    """What an image costs each contender in each part."""

    plan: Plan
    seconds: Measured
    cpu_seconds: Measured
    prepared: float  # seconds in which vitrail decoded, checked and kept all images, once
    kind: Literal["train"] = "train"

    def speedup(self, part: str, name: str) -> MedianInterval:
        """How many times as fast as this contender vitrail is."""
        return median_interval(speedups(self.seconds[part][OURS], self.seconds[part][name]))

    def cpu_speedup(self, part: str, name: str) -> MedianInterval:
        """How many times the images per CPU-second of this contender vitrail has."""
        return median_interval(speedups(self.cpu_seconds[part][OURS], self.cpu_seconds[part][name]))

    def fed(self, name: str) -> MedianInterval:
        """How fast a contender trains, relative to its network alone."""
        return median_interval(speedups(self.seconds[BOTH][name], self.seconds[NETWORK][name]))


def measure(plan: Plan, progress: Progress = silent) -> TrainReport:
    our_module(plan)  # an unknown network is refused before anything is written
    with TemporaryDirectory(prefix="vitrail-bench-") as temporary:
        setup = Setup(plan, Path(temporary))
        progress(f"{plan.images} photos of {plan.width}×{plan.height}")
        write_photo_set(setup.photos, plan.images, photographs(plan.photos, plan.width, plan.height))
        setup.cache.mkdir()
        begin = perf_counter()
        ours = our_epochs(setup, plan.workers)
        ours.prepared()
        prepared = perf_counter() - begin
        if not ours.is_kept():
            raise VitrailError(NO_ROOM)
        seconds, cpu_seconds = take_turns(setup, progress)
    return TrainReport(
        plan=plan,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        prepared=prepared,
        versions=installed_versions(PACKAGES),
    )


def take_turns(setup: Setup, progress: Progress) -> tuple[Measured, Measured]:
    """All contenders and parts in shuffled order, round by round."""
    plan = setup.plan
    images = plan.steps * plan.batch
    seconds: Measured = {part: {name: [] for name in CONTENDERS} for part in plan.parts}
    cpu_seconds: Measured = {part: {name: [] for name in CONTENDERS} for part in plan.parts}
    sessions: dict[tuple[str, str], Session] = {}
    with ended(sessions):
        for part in plan.parts:
            for name in CONTENDERS:
                progress(f"{name}, {part}: a first turn, which is not counted")
                sessions[part, name] = Session(name, RUN[name], setup, part)
                sessions[part, name].turn()
        for part, name in shuffled_rounds(list(sessions), plan.rounds, plan.seed, progress):
            cost = sessions[part, name].turn()
            seconds[part][name].append(cost.seconds / images)
            cpu_seconds[part][name].append(cost.cpu_seconds / images)
    return seconds, cpu_seconds


def report_text(report: TrainReport) -> str:
    plan = report.plan
    rows = [["", "images/s", "per CPU-second", "vitrail ×, images/s", "vitrail ×, per CPU-second"]]
    for part in plan.parts:
        for name in CONTENDERS:
            rates = [
                f"{1 / median_interval(each[part][name]).value:,.1f}" for each in (report.seconds, report.cpu_seconds)
            ]
            ratios = [] if name == OURS else [report.speedup(part, name), report.cpu_speedup(part, name)]
            rows.append([f"{part}, {name}", *rates, *([interval_text(each) for each in ratios] or ["", ""])])
    photos = f"{plan.images} photos of {plan.width}×{plan.height}, random crops of {plan.size} with flips"
    once = f"{report.prepared:.1f} s ({plan.images / report.prepared:,.0f} images/s)"
    return "\n\n".join(
        [
            report.header(
                f"{plan.net} in {plan.precision} on {photos}, batches of {plan.batch}, {plan.workers} worker(s)"
            ),
            text_table(rows),
            *([fed_text(report)] if {NETWORK, BOTH} <= set(plan.parts) else []),
            f"vitrail's epochs are later ones: before its first it decodes and checks all images once, in {once}",
            rounds_text(plan.rounds, report.speedup(plan.parts[0], TIMM).coverage),
        ]
    )


def fed_text(report: TrainReport) -> str:
    speeds = ", ".join(f"{name} {interval_text(report.fed(name))}" for name in CONTENDERS)
    return f"both, relative to the network alone: {speeds}"
