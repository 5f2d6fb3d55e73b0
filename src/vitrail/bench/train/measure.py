"""Images per second and per CPU-second of pipeline, network and both, for three contenders in alternating turns."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Literal

from lightning_fabric.plugins.environments.lightning import find_free_network_port

from vitrail.bench.core.report import Absent, Progress, Report, absent_text, silent
from vitrail.bench.core.rounds import MedianInterval, Times, median_interval, shuffled_rounds, speedups
from vitrail.bench.core.tables import interval_text, rounds_text, text_table
from vitrail.bench.data.loaders import NO_ROOM
from vitrail.bench.data.photo_set import photographs, write_photo_set
from vitrail.bench.train.contenders import RUN, of_rank, our_epochs, our_module
from vitrail.bench.train.plan import (
    BOTH,
    CONTENDERS,
    NETWORK,
    ONE,
    OURS,
    PARTS,
    PROCESSES,
    TWO,
    WORLDS,
    Plan,
    Setup,
    contenders_of,
    world_of,
)
from vitrail.bench.train.sessions import Group, Session, ended
from vitrail.errors import VitrailError
from vitrail.runtime.machine import installed_versions
from vitrail.runtime.providers import usable_cores

PACKAGES = ("vitrail", "torch", "torchvision", "timm", "pytorch-lightning", "pillow", "numpy")

TOO_FEW_CORES = Absent(PROCESSES, "two processes need two cores")

Measured = dict[str, Times]  # seconds an image, one number a round, by part and contender


@dataclass(frozen=True, kw_only=True)
class TrainReport(Report):
    """What an image costs each contender in each part."""

    plan: Plan
    seconds: Measured
    cpu_seconds: Measured
    prepared: float  # seconds in which vitrail decoded, checked and kept all images, once
    absent: tuple[Absent, ...] = ()
    kind: Literal["train"] = "train"

    def speedup(self, part: str, name: str) -> MedianInterval:
        """How many times as fast as this contender vitrail is."""
        return median_interval(speedups(self.seconds[part][OURS], self.seconds[part][name]))

    def cpu_speedup(self, part: str, name: str) -> MedianInterval:
        """How many times the images per CPU-second of this contender vitrail has."""
        return median_interval(speedups(self.cpu_seconds[part][OURS], self.cpu_seconds[part][name]))

    def scaling(self) -> MedianInterval:
        """How many times as fast as one process two are."""
        return median_interval(speedups(self.seconds[PROCESSES][TWO], self.seconds[PROCESSES][ONE]))

    def cpu_scaling(self) -> MedianInterval:
        """How many times the images per CPU-second of one process two have."""
        return median_interval(speedups(self.cpu_seconds[PROCESSES][TWO], self.cpu_seconds[PROCESSES][ONE]))

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
        absent=() if set(plan.parts) == set(seconds) else (TOO_FEW_CORES,),
        versions=installed_versions(PACKAGES),
    )


def take_turns(setup: Setup, progress: Progress) -> tuple[Measured, Measured]:
    """All contenders and parts in shuffled order, round by round."""
    plan = setup.plan
    parts = [part for part in plan.parts if part != PROCESSES or usable_cores() >= len(WORLDS)]
    seconds: Measured = {part: {name: [] for name in contenders_of(part)} for part in parts}
    cpu_seconds: Measured = {part: {name: [] for name in contenders_of(part)} for part in parts}
    sessions: dict[tuple[str, str], Session | Group] = {}
    with ended(sessions):
        for part in parts:
            for name in contenders_of(part):
                progress(f"{name}, {part}: a first turn, which is not counted")
                sessions[part, name] = started(name, setup, part)
                sessions[part, name].turn()
        for part, name in shuffled_rounds(list(sessions), plan.rounds, plan.seed, progress):
            cost = sessions[part, name].turn()
            seconds[part][name].append(cost.seconds / plan.trained(name))
            cpu_seconds[part][name].append(cost.cpu_seconds / plan.trained(name))
    return seconds, cpu_seconds


def started(name: str, setup: Setup, part: str) -> Session | Group:
    if part != PROCESSES:
        return Session(name, RUN[name], setup, part)
    world, port = world_of(name), find_free_network_port()
    ranks = [partial(of_rank, rank, world, port) for rank in range(world)]
    return Group([Session(f"{name}, rank {rank}", run, setup, part) for rank, run in enumerate(ranks)])


def report_text(report: TrainReport) -> str:
    plan = report.plan
    photos = f"{plan.images} photos of {plan.width}×{plan.height}, random crops of {plan.size} with flips"
    once = f"{report.prepared:.1f} s ({plan.images / report.prepared:,.0f} images/s)"
    return "\n\n".join(
        [
            report.header(
                f"{plan.net} in {plan.precision} on {photos}, batches of {plan.batch}, {plan.workers} worker(s)"
            ),
            *([beside_others(report)] if report.seconds.keys() - {PROCESSES} else []),
            *([fed_text(report)] if {NETWORK, BOTH} <= set(plan.parts) else []),
            *([processes_text(report)] if PROCESSES in report.seconds else []),
            *([absent_text(report.absent)] if report.absent else []),
            f"vitrail's epochs are later ones: before its first it decodes and checks all images once, in {once}",
            rounds_text(plan.rounds, median_interval(range(plan.rounds)).coverage),
        ]
    )


def beside_others(report: TrainReport) -> str:
    rows = [["", "images/s", "per CPU-second", "vitrail ×, images/s", "vitrail ×, per CPU-second"]]
    for part in (part for part in report.plan.parts if part in PARTS):
        for name in CONTENDERS:
            ratios = [] if name == OURS else [report.speedup(part, name), report.cpu_speedup(part, name)]
            texts = [interval_text(each) for each in ratios] or ["", ""]
            rows.append([f"{part}, {name}", *rates(report, part, name), *texts])
    return text_table(rows)


def processes_text(report: TrainReport) -> str:
    """Each process has a core and one thread."""
    ratios = [interval_text(report.scaling()), interval_text(report.cpu_scaling())]
    rows = [["", "images/s", "per CPU-second", "two ×, images/s", "two ×, per CPU-second"]]
    for name in WORLDS:
        rows.append([name, *rates(report, PROCESSES, name), *(ratios if name == TWO else ["", ""])])
    return text_table(rows)


def rates(report: TrainReport, part: str, name: str) -> list[str]:
    """Images a second, and per CPU-second."""
    return [f"{1 / median_interval(each[part][name]).value:,.1f}" for each in (report.seconds, report.cpu_seconds)]


def fed_text(report: TrainReport) -> str:
    speeds = ", ".join(f"{name} {interval_text(report.fed(name))}" for name in CONTENDERS)
    return f"both, relative to the network alone: {speeds}"
