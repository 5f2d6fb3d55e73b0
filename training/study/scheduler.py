"""The order of a study's runs: learning rates first, then the reported runs; each is stored as soon as it ends."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from vitrail.training.study.executors import Workers
from vitrail.training.study.jobs import FinishedRun, Job, Result, rate_trials
from vitrail.training.study.learning_rates import ChosenRates, choose, rate_at
from vitrail.training.study.progress import ProgressDisplay, duration, seconds_left
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.store import PREDICTIONS, outcomes_of, save_run, saved_run

# Called after every seed with all outcomes so far: whether the study may stop.
StopRule = Callable[[Outcomes], bool]


class Scheduler:
    """Runs what earlier calls have not finished, and collects finished and failed runs."""

    def __init__(self, resolved: ResolvedPlan, folder: Path, display: ProgressDisplay) -> None:
        self.resolved, self.folder, self.display = resolved, folder, display
        self.runs: dict[Job, FinishedRun] = {}
        self.failed: list[FinishedRun] = []
        self.remaining = Counter(all_runs(resolved))
        self.total, self.count = self.remaining.total(), 0

    def run(self, workers: Workers, stop_rule: StopRule | None = None) -> None:
        """All runs; with a stop rule, seed by seed until it applies."""
        chosen = self.choose_rates(workers)
        blocks = self.blocks(chosen, by_seed=stop_rule is not None)
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
        given = {one.name: {resolved.sizes[0]: one.rate * resolved.plan.rate_factors[0]} for one in resolved.contenders}
        if not resolved.rates_are_tried:
            return given
        jobs = jobs_for_rates(resolved)
        self.run_jobs(jobs, workers)
        failed = {job.contender for job in jobs if job not in self.runs}
        tried: dict[Job, Result] = {
            job: done.result for job in jobs if job.contender not in failed and (done := self.runs[job]).result
        }
        return choose(tried)

    def blocks(self, chosen: ChosenRates, by_seed: bool) -> list[list[Job]]:
        """Reported runs, the longest first; a single block, so that no worker idles between seeds, or one a seed."""
        resolved = self.resolved
        blocks = [
            [
                Job(contender.name, size, seed, rate_at(size, chosen[contender.name]))
                for size in reversed(resolved.sizes)
                for contender in resolved.contenders
                if contender.name in chosen
            ]
            for seed in resolved.plan.seeds
        ]
        return blocks if by_seed else [[job for block in blocks for job in block]]

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
                self.runs[done.job] = replace(done, files={PREDICTIONS: done.files[PREDICTIONS]})
            left = seconds_left(self.remaining, self.runs.values(), workers.size)
            self.display.run_finished(done, self.count, self.total, left)

    def count_run(self, job: Job) -> None:
        self.remaining[job.contender, job.size] -= 1
        self.count += 1

    def outcomes(self) -> Outcomes:
        return outcomes_of(self.resolved, self.reported())

    def reported(self) -> list[FinishedRun]:
        return [done for done in self.runs.values() if not done.job.tries]


def jobs_for_rates(resolved: ResolvedPlan) -> list[Job]:
    if not resolved.rates_are_tried:
        return []
    rates: Iterable[tuple[str, float]] = [(one.name, one.rate) for one in resolved.contenders]
    return rate_trials(rates, resolved.tuned_sizes, resolved.plan.rate_factors, resolved.plan.rate_seeds)


def all_runs(resolved: ResolvedPlan) -> dict[tuple[str, int], int]:
    """The number of runs of every contender and size."""
    tried = Counter((job.contender, job.size) for job in jobs_for_rates(resolved))
    return {
        (contender.name, size): len(resolved.plan.seeds) + tried[contender.name, size]
        for contender in resolved.contenders
        for size in resolved.sizes
    }
