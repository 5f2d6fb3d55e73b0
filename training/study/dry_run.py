"""A dry run: the grid, and after a few steps of each contender and size how long all would take, and what it costs."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from vitrail.data import Source, open_source
from vitrail.data.subsets import sizes_for
from vitrail.training.cli import silence_lightning
from vitrail.training.study.image_cache import Few, Kept
from vitrail.training.study.jobs import Job
from vitrail.training.study.parsing import Asked
from vitrail.training.study.plan import Plan
from vitrail.training.study.progress import span
from vitrail.training.study.resolved_plan import ResolvedPlan, settle
from vitrail.training.study.store import planned_before
from vitrail.training.study.study import executor
from vitrail.training.study.train import train
from vitrail.training.study.worker import threads_of

FEW, MORE = 4, 16  # steps of two short runs: their difference is the pace, without what every run does once
LOOK = 600  # images are enough to see what one costs


@dataclass(frozen=True)
class Pace:
    """Seconds: of each step, of each image that is validated or answered in the end, and of what is done once."""

    step: float
    validated: float
    answered: float
    once: float

    def run(self, plan: Plan, train: int, val: int, test: int) -> float:
        """Of a whole run with so many images; with equal epochs at most, as it may stop early."""
        if plan.mode == "equal-steps":
            steps, checks = plan.steps, plan.steps // plan.validate_every
        else:
            steps, checks = plan.epochs * max(1, train // plan.data["batch_size"]), plan.epochs
        return self.once + steps * self.step + checks * val * self.validated + (train + test) * self.answered


def dry_run(asked: Asked) -> None:
    """Print everything; nothing is written."""
    silence_lightning()
    plan = asked.plan
    source = open_source(plan.data["path"], plan.data["seed"])
    settled = planned_before(asked.folder, plan, source.fingerprint) or settle(plan, source)
    with executor(asked, settled) as workers:  # nobody is hired before there is work
        at_a_time = workers.size
    most = max(LOOK, 2 * len(settled.classes), 2 * plan.data["batch_size"])
    few = Kept(Few(source, most))
    with threads_of(plan):
        decoding = decoding_of(settled, source, few)
        seconds = seconds_of(settled, source, few, most)
    print(report(settled, seconds, decoding, at_a_time))


def decoding_of(settled: ResolvedPlan, source: Source, few: Kept) -> float:
    """What every worker spends on decoding, once: as for each of a few images, for all that the runs use."""
    begin = perf_counter()
    looked_at = len(few.read("test", settled.rule))
    each = (perf_counter() - begin) / looked_at
    return each * (settled.sizes[-1] + len(source.labels("test")))


def seconds_of(settled: ResolvedPlan, source: Source, few: Kept, most: int) -> dict[tuple[str, int], float]:
    """What a run of each contender at each size would take here; nobody waits until all images are decoded."""
    plan, classes = settled.plan, len(settled.classes)
    names = [contender.name for contender in settled.contenders]
    paces = {
        (name, size): pace(settled, name, size, few)
        for name in names
        for size in {min(size, most) for size in settled.sizes}
    }
    val, test = (len(source.labels(part)) for part in ("val", "test"))
    return {
        (name, size): paces[name, min(size, most)].run(plan, *sizes_for(size, classes, val), test)
        for name in names
        for size in settled.sizes
    }


def pace(settled: ResolvedPlan, contender: str, size: int, source: Source) -> Pace:
    """By two short runs."""
    job = Job(contender, size, settled.plan.seeds[0], settled.contender(contender).rate)
    train(settled, job, source, steps=1)  # what is compiled and decoded once is not a run's own
    begin = perf_counter()
    few = train(settled, job, source, steps=FEW)
    passed = perf_counter() - begin
    more = train(settled, job, source, steps=MORE)
    step = max((more.training_seconds - few.training_seconds) / (MORE - FEW), 0.0)
    check = median([*few.check_seconds, *more.check_seconds])
    return Pace(
        step=step,
        validated=check / few.result.val_images,
        answered=few.answering_seconds / (few.result.train_images + len(source.labels("test"))),
        once=max(passed - few.answering_seconds - FEW * step - check, 0.0),
    )


def report(settled: ResolvedPlan, seconds: dict[tuple[str, int], float], decoding: float, workers: int) -> str:
    """The grid with seconds a run, how many runs that makes, and the whole."""
    plan = settled.plan
    trials = len(plan.rate_factors) * len(plan.rate_seeds) if settled.rates_are_tried else 0
    runs = {size: len(plan.seeds) + (trials if size in settled.tuned_sizes else 0) for size in settled.sizes}
    names = [contender.name for contender in settled.contenders]
    width = max(10, *(len(name) + 2 for name in names))
    head = f"{'images':>8}  {'runs of each':>12}" + "".join(f"{name:>{width}}" for name in names)
    rows = [
        f"{size:8,}  {runs[size]:12}" + "".join(f"{seconds[name, size]:{width - 2}.1f} s" for name in names)
        for size in settled.sizes
    ]
    total = sum(seconds[name, size] * runs[size] for name, size in seconds)
    count = sum(runs.values()) * len(names)
    device = "GPU" if torch.cuda.is_available() and plan.device != "cpu" else "core"
    hours = (total + workers * decoding) / 3600 * (plan.threads if device == "core" else 1)
    most = "at most " if plan.mode == "equal-epochs" else ""
    last = (
        f"{count} runs, {most}{span(total + decoding)} one after the other, about {span(total / workers + decoding)} "
        f"with {workers} at a time; of that {span(decoding)} to decode the images, which each worker does once; "
        f"cost: {most}{hours:.2f} {device}-hours"
    )
    matched = [f"{name} matched: {matched}" for name, matched in settled.matched.items()]
    return "\n".join([*matched, head, *rows, last])
