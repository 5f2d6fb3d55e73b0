"""The course of a study: learning rates first, then the runs that are reported, each kept as soon as it is there."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vitrail.training.study.executors import Workers
from vitrail.training.study.jobs import Done, Job, Result, tries
from vitrail.training.study.learning_rates import Chosen, choose, rate_at
from vitrail.training.study.outcomes import outcomes_of
from vitrail.training.study.progress import Show, seconds_left, span
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.statistics.outcomes import Outcomes
from vitrail.training.study.store import finished, keep

# Asked after every block of runs with all that is known so far: is the answer sure enough to stop?
Sure = Callable[[Outcomes], bool]


class Scheduler:
    """One call's way through a study: what is there already is kept, what fails is remembered."""

    def __init__(self, settled: ResolvedPlan, folder: Path, show: Show) -> None:
        self.settled, self.folder, self.show = settled, folder, show
        self.runs: dict[Job, Done] = {}
        self.failed: list[Done] = []
        self.ahead = Counter(all_runs(settled))
        self.total, self.count = self.ahead.total(), 0

    def go(self, workers: Workers, sure: Sure | None = None) -> None:
        """All runs; with `sure`, seed by seed, until it says that the answer is."""
        chosen = self.choose_rates(workers)
        blocks = self.blocks(chosen, by_seed=sure is not None)
        for number, block in enumerate(blocks, 1):
            self.through(block, workers)
            if sure is not None and number < len(blocks) and sure(self.outcomes()):
                saved = self.saved(blocks[number:], workers)
                self.show.say(f"enough is known after {number} of {len(blocks)} seeds: {saved}")
                break

    def saved(self, blocks: Sequence[Sequence[Job]], workers: Workers) -> str:
        """What need not be run, and about how long that would have taken."""
        runs = [job for block in blocks for job in block]
        ahead = Counter((job.contender, job.size) for job in runs)
        seconds = seconds_left(ahead, self.runs.values(), workers.size)
        return f"{len(runs)} runs saved" + ("" if seconds is None else f", about {span(seconds)}")

    def choose_rates(self, workers: Workers) -> Chosen:
        """Rates at the tuned sizes; a contender of which a trial failed has none, and does not go on."""
        settled = self.settled
        own = {one.name: {settled.sizes[0]: one.rate * settled.plan.rate_factors[0]} for one in settled.contenders}
        if not settled.rates_are_tried:
            return own
        jobs = jobs_for_rates(settled)
        self.through(jobs, workers)
        lost = {job.contender for job in jobs if job not in self.runs}
        tried: dict[Job, Result] = {
            job: done.result for job in jobs if job.contender not in lost and (done := self.runs[job]).result
        }
        return choose(tried)

    def blocks(self, chosen: Chosen, by_seed: bool) -> list[list[Job]]:
        """Reported runs, the longest first; as one block, so that nobody waits for the last of a seed, or by seed."""
        settled = self.settled
        blocks = [
            [
                Job(contender.name, size, seed, rate_at(size, chosen[contender.name]))
                for size in reversed(settled.sizes)
                for contender in settled.contenders
                if contender.name in chosen
            ]
            for seed in settled.plan.seeds
        ]
        return blocks if by_seed else [[job for block in blocks for job in block]]

    def through(self, jobs: Sequence[Job], workers: Workers) -> None:
        """Every job that no earlier call has finished."""
        there = {job: done for job in jobs if (done := finished(self.folder, job, self.show.say))}
        self.runs |= there
        for job in there:
            self.passed(job)
        if there:
            self.show.say(f"{len(there)} runs are there already")
        for done in workers.work([job for job in jobs if job not in there]):
            self.passed(done.job)
            if done.result is None:
                self.failed.append(done)
            else:
                keep(self.folder, done)
                self.runs[done.job] = done
            left = seconds_left(self.ahead, self.runs.values(), workers.size)
            self.show.done(done, self.count, self.total, left)

    def passed(self, job: Job) -> None:
        self.ahead[job.contender, job.size] -= 1
        self.count += 1

    def outcomes(self) -> Outcomes:
        return outcomes_of(self.settled, self.folder, [done.job for done in self.reported()])

    def reported(self) -> list[Done]:
        return [done for done in self.runs.values() if not done.job.tries]


def jobs_for_rates(settled: ResolvedPlan) -> list[Job]:
    if not settled.rates_are_tried:
        return []
    rates: Iterable[tuple[str, float]] = [(one.name, one.rate) for one in settled.contenders]
    return tries(rates, settled.tuned_sizes, settled.plan.rate_factors, settled.plan.rate_seeds)


def all_runs(settled: ResolvedPlan) -> dict[tuple[str, int], int]:
    """How many runs of every contender and size there will be."""
    tried = Counter((job.contender, job.size) for job in jobs_for_rates(settled))
    return {
        (contender.name, size): len(settled.plan.seeds) + tried[contender.name, size]
        for contender in settled.contenders
        for size in settled.sizes
    }
