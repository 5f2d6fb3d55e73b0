"""The order of a study's runs: learning rates, lengths, then the reported runs; each is stored as soon as it ends."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vitrail.training.study.budget import Budget
from vitrail.training.study.executors import Workers
from vitrail.training.study.jobs import FinishedRun, Job, Result, rate_trials
from vitrail.training.study.learning_rates import ChosenRates, choose, rate_at, wider
from vitrail.training.study.lengths import Length, Lengths, found, length_at, longer
from vitrail.training.study.progress import ProgressDisplay, duration, seconds_left
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.store import outcomes_of, save_run, saved_run

# Called after every seed with all outcomes so far: whether the study may stop.
StopRule = Callable[[Outcomes], bool]


class Scheduler:
    """Runs what earlier calls have not finished, and collects finished and failed runs."""

    def __init__(
        self, resolved: ResolvedPlan, folder: Path, display: ProgressDisplay, budget: float | None = None
    ) -> None:
        """`budget` is in seconds."""
        self.resolved, self.folder, self.display, self.budget = resolved, folder, display, budget
        self.runs: dict[Job, FinishedRun] = {}
        self.failed: list[FinishedRun] = []
        self.remaining = Counter(all_runs(resolved))
        self.total, self.count = self.remaining.total(), 0

    def run(self, workers: Workers, stop_rule: StopRule | None = None) -> None:
        """All runs; with a stop rule, seed by seed until it applies."""
        chosen = self.choose_rates(workers)
        lengths = self.find_lengths(chosen, workers)
        blocks = self.blocks(chosen, lengths, by_seed=stop_rule is not None)
        for number, block in enumerate(blocks, 1):
            self.run_jobs(block, workers)
            if stop_rule is not None and number < len(blocks) and stop_rule(self.outcomes()):
                saved = self.saved(blocks[number:], workers)
                self.display.message(f"stopping after {number} of {len(blocks)} seeds: {saved}")
                break

    def saved(self, blocks: Sequence[Sequence[Job]], workers: Workers) -> str:
        """The number of runs left out, and an estimate of their time."""
        runs = [job for block in blocks for job in block]
        remaining = Counter((job.contender, job.size) for job in runs)
        seconds = seconds_left(remaining, self.runs.values(), workers.size)
        return f"{len(runs)} runs saved" + ("" if seconds is None else f", about {duration(seconds)}")

    def choose_rates(self, workers: Workers) -> ChosenRates:
        """Rates at the tuned sizes; a contender with a failed trial has none and takes no further part."""
        resolved = self.resolved
        if not resolved.plan.has_trials:
            factor = resolved.plan.rate_factors[0]
            return {one.name: {resolved.sizes[0]: one.rate * factor} for one in resolved.contenders}
        jobs = trials(resolved)
        while jobs:
            self.run_jobs(jobs, workers)
            jobs = self.affordable(self.to_run(wider(self.tried(), len(resolved.plan.rate_factors))), workers)
            self.expect(jobs)
        return choose(self.tried())

    def find_lengths(self, chosen: ChosenRates, workers: Workers) -> Lengths:
        """Runs of twice the steps, until they no longer help, or most steps or the budget are reached."""
        plan = self.resolved.plan
        if plan.mode != "trained-out":
            return {}
        while True:
            tried = self.tried()
            lengths = found(tried, chosen, plan.tolerance)
            jobs = self.affordable(self.to_run(longer(lengths, tried, plan.most_steps)), workers)
            if not jobs:
                return lengths
            self.expect(jobs)
            self.run_jobs(jobs, workers)

    def affordable(self, jobs: list[Job], workers: Workers) -> list[Job]:
        """Those trials that the budget buys; without one all."""
        if self.budget is None:
            return jobs
        tried = self.tried()
        chosen = choose(tried)
        lengths = found(tried, chosen, self.resolved.plan.tolerance)
        (reported,) = self.blocks(chosen, lengths, by_seed=False)
        return Budget.of(self.budget, workers.size).affordable(jobs, [self.runs[job] for job in tried], reported)

    def tried(self) -> dict[Job, Result]:
        """The trials of contenders whose planned ones have not failed."""
        planned = set(trials(self.resolved))
        failed = {done.job.contender for done in self.failed if done.job in planned}
        return {
            job: done.result
            for job, done in self.runs.items()
            if job.tries and job.contender not in failed and done.result
        }

    def to_run(self, jobs: Iterable[Job]) -> list[Job]:
        """Those that have neither finished nor failed."""
        ended = {*self.runs, *(done.job for done in self.failed)}
        return [job for job in jobs if job not in ended]

    def blocks(self, chosen: ChosenRates, lengths: Lengths, by_seed: bool) -> list[list[Job]]:
        """Reported runs, the longest first; a single block, so that no worker idles between seeds, or one a seed."""
        resolved = self.resolved
        blocks = [
            [
                self.reported_job(contender.name, size, seed, chosen[contender.name], lengths.get(contender.name))
                for size in reversed(resolved.sizes)
                for contender in resolved.contenders
                if contender.name in chosen
            ]
            for seed in resolved.plan.seeds
        ]
        return blocks if by_seed else [[job for block in blocks for job in block]]

    def reported_job(
        self, contender: str, size: int, seed: int, rates: Mapping[int, float], lengths: Mapping[int, Length] | None
    ) -> Job:
        """Without lengths the plan says how long runs are."""
        if lengths is None:
            return Job(contender, size, seed, rate_at(size, rates))
        length = length_at(size, lengths, self.resolved.plan.validations)
        return Job(contender, size, seed, length.rate, steps=length.steps)

    def run_jobs(self, jobs: Sequence[Job], workers: Workers) -> None:
        """Every job that no earlier call has finished."""
        saved = {job: done for job in jobs if (done := saved_run(self.folder, job, self.display.message))}
        self.runs |= saved
        for job in saved:
            self.count_run(job)
        if saved:
            self.display.message(f"{len(saved)} runs are finished already")
        for done in workers.work([job for job in jobs if job not in saved]):
            self.count_run(done.job)
            if done.result is None:
                self.failed.append(done)
            else:
                save_run(self.folder, done)
                self.runs[done.job] = replace(done, files={})
            left = seconds_left(self.remaining, self.runs.values(), workers.size)
            self.display.run_finished(done, self.count, self.total, left)

    def expect(self, jobs: Iterable[Job]) -> None:
        """Runs that were not planned from the start."""
        self.remaining.update((job.contender, job.size) for job in jobs)
        self.total = self.count + self.remaining.total()

    def count_run(self, job: Job) -> None:
        self.remaining[job.contender, job.size] -= 1
        self.count += 1

    def outcomes(self) -> Outcomes:
        trials = [done for done in self.runs.values() if done.job.tries]
        return outcomes_of(self.resolved, self.reported(), trials)

    def reported(self) -> list[FinishedRun]:
        return [done for done in self.runs.values() if not done.job.tries]


def trials(resolved: ResolvedPlan) -> list[Job]:
    """Of all learning rates; further rates and longer runs depend on them."""
    plan = resolved.plan
    if not plan.has_trials:
        return []
    rates: Iterable[tuple[str, float]] = [(one.name, one.rate) for one in resolved.contenders]
    steps = plan.steps if plan.mode == "trained-out" else None
    return rate_trials(rates, resolved.tuned_sizes, plan.rate_factors, plan.rate_seeds, steps)


def all_runs(resolved: ResolvedPlan) -> dict[tuple[str, int], int]:
    """The number of runs of every contender and size."""
    tried = Counter((job.contender, job.size) for job in trials(resolved))
    return {
        (contender.name, size): len(resolved.plan.seeds) + tried[contender.name, size]
        for contender in resolved.contenders
        for size in resolved.sizes
    }
