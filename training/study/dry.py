"""A dry run: the grid, and after a few steps of each contender and size how long all would take, and what it costs."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from vitrail.data import open_source
from vitrail.training.cli import hush
from vitrail.training.study.folder import planned_before
from vitrail.training.study.jobs import Job
from vitrail.training.study.kept import Kept
from vitrail.training.study.plan import Plan
from vitrail.training.study.progress import span
from vitrail.training.study.settled import Settled, settle
from vitrail.training.study.study import workers_of
from vitrail.training.study.train import train
from vitrail.training.study.words import Asked
from vitrail.training.study.worker import threads_of

FEW, MORE = 4, 16  # steps of two short runs: their difference is the pace, without what every run does once


@dataclass(frozen=True)
class Pace:
    """Seconds of one run at one size: each step, each validation, and what is done once."""

    step: float
    check: float
    once: float

    def run(self, plan: Plan, train_pictures: int) -> float:
        """Of a whole run; with equal epochs at most, as it may stop early."""
        if plan.mode == "equal-steps":
            steps, checks = plan.steps, plan.steps // plan.validate_every
        else:
            steps, checks = plan.epochs * max(1, train_pictures // plan.data["batch_size"]), plan.epochs
        return self.once + steps * self.step + checks * self.check


def dry_run(asked: Asked) -> None:
    """Print everything; nothing is written."""
    hush()
    plan = asked.plan
    source = Kept(open_source(plan.data["path"], plan.data["seed"]))
    settled = planned_before(asked.folder, plan, source.fingerprint) or settle(plan, source)
    with threads_of(plan):
        seconds = {
            (contender.name, size): seconds_of(settled, contender.name, size, source)
            for contender in settled.contenders
            for size in settled.sizes
        }
    print(report(settled, seconds, workers_of(asked)))


def seconds_of(settled: Settled, contender: str, size: int, source: Kept) -> float:
    """What a run would take here, by two short ones."""
    job = Job(contender, size, settled.plan.seeds[0], settled.contender(contender).rate)
    train(settled, job, source, steps=1)  # what is compiled and decoded once is not a run's own
    begin = perf_counter()
    few = train(settled, job, source, steps=FEW)
    around = perf_counter() - begin - few.training_seconds
    more = train(settled, job, source, steps=MORE)
    step = max((more.training_seconds - few.training_seconds) / (MORE - FEW), 0.0)
    check = median([*few.check_seconds, *more.check_seconds])
    once = max(few.training_seconds - FEW * step - check, 0.0) + around
    return Pace(step, check, once).run(settled.plan, few.result.train_pictures)


def report(settled: Settled, seconds: dict[tuple[str, int], float], workers: int) -> str:
    """The grid with seconds a run, how many runs that makes, and the whole."""
    plan = settled.plan
    trials = len(plan.rate_factors) * len(plan.rate_seeds) if settled.rates_are_tried else 0
    runs = {size: len(plan.seeds) + (trials if size in settled.tuned_sizes else 0) for size in settled.sizes}
    names = [contender.name for contender in settled.contenders]
    width = max(10, *(len(name) + 2 for name in names))
    head = f"{'pictures':>8}  {'runs of each':>12}" + "".join(f"{name:>{width}}" for name in names)
    rows = [
        f"{size:8,}  {runs[size]:12}" + "".join(f"{seconds[name, size]:{width - 2}.1f} s" for name in names)
        for size in settled.sizes
    ]
    total = sum(seconds[name, size] * runs[size] for name, size in seconds)
    count = sum(runs.values()) * len(names)
    device = "GPU" if torch.cuda.is_available() and plan.device != "cpu" else "core"
    hours = total / 3600 * (plan.threads if device == "core" else 1)
    most = "at most " if plan.mode == "equal-epochs" else ""
    last = (
        f"{count} runs, {most}{span(total)} one after the other, about {span(total / workers)} with {workers} at a "
        f"time (start-up excluded); cost: {most}{hours:.2f} {device}-hours"
    )
    matched = [f"{name} matched: {matched}" for name, matched in settled.matched.items()]
    return "\n".join([*matched, head, *rows, last])
