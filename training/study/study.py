"""A whole study: settle the plan, run what is missing, write tables and report, say what failed."""

from contextlib import AbstractContextManager
from pathlib import Path

from vitrail.data import open_source
from vitrail.errors import VitrailError
from vitrail.runtime.providers import usable_cores
from vitrail.training.runs import environment, write_json
from vitrail.training.study.executors import Workers
from vitrail.training.study.executors.on_ray import on_ray
from vitrail.training.study.executors.pool import pool
from vitrail.training.study.executors.this_process import here
from vitrail.training.study.gpus import visible_gpus
from vitrail.training.study.latency import milliseconds
from vitrail.training.study.parsing import Asked
from vitrail.training.study.plan import Plan
from vitrail.training.study.progress import Show, show
from vitrail.training.study.report.report import report
from vitrail.training.study.resolved_plan import ResolvedPlan, settle
from vitrail.training.study.scheduler import Scheduler, Sure
from vitrail.training.study.statistics.stop_seeds import look
from vitrail.training.study.store import FAILED, keep_plan, planned_before
from vitrail.training.study.tables import write_results, write_timings

NAMED = 5  # failed runs, at most


def study(asked: Asked) -> Scheduler:
    """Run it to its end. What failed is told when all the rest is there."""
    settled = settled_in(asked.folder, asked.plan)
    shown = show()
    course = Scheduler(settled, asked.folder, shown)
    introduce(settled, asked.folder, shown)
    try:
        with executor(asked, settled) as workers:
            course.go(workers, sure_of(asked))
    finally:
        write_results(asked.folder / "results.csv", course.reported())
        shown.close()
    write_timings(asked.folder / "timings.csv", course.runs.values(), latencies(settled, course))
    write_json(asked.folder / FAILED, {done.job.name: done.fault for done in course.failed})
    if course.reported():
        report(asked.folder)
    refuse_failures(course)
    return course


def sure_of(asked: Asked) -> Sure | None:
    """A look after every seed, where one is asked for; a study may stop at it."""
    if asked.until_sure is None:
        return None
    planned, wanted = len(asked.plan.seeds), asked.until_sure
    return lambda outcomes: look(outcomes, planned, wanted).stop


def settled_in(folder: Path, plan: Plan) -> ResolvedPlan:
    """As an earlier call has settled it, or settled now: measured widths must not change on the way."""
    source = open_source(plan.data["path"], plan.data["seed"])
    before = planned_before(folder, plan, source.fingerprint)
    if before is not None:
        return before
    settled = settle(plan, source)
    write_json(folder / "environment.json", environment())
    keep_plan(folder, settled)
    return settled


def introduce(settled: ResolvedPlan, folder: Path, shown: Show) -> None:
    sizes = ", ".join(f"{size:,}" for size in settled.sizes)
    names = ", ".join(contender.name for contender in settled.contenders)
    shown.say(f"{folder}: {names} on {sizes} labelled images of {settled.source}, seeds {settled.plan.seeds}")
    for name, matched in settled.matched.items():
        shown.say(f"{name} matched: {matched}")


def workers_of(asked: Asked) -> int:
    """Runs at a time: as asked, else one a GPU, else as many as the cores carry."""
    return asked.workers or len(gpus_of(asked.plan)) or max(1, usable_cores() // asked.plan.threads)


def gpus_of(plan: Plan) -> tuple[str, ...]:
    return visible_gpus() if plan.device != "cpu" else ()


def executor(asked: Asked, settled: ResolvedPlan) -> AbstractContextManager[Workers]:
    if asked.executor == "here":
        return here(settled)
    if asked.executor == "ray":
        return on_ray(settled, asked.address, asked.workers, asked.gpu_share)
    return pool(settled, workers_of(asked), gpus_of(settled.plan))


def latencies(settled: ResolvedPlan, course: Scheduler) -> dict[str, float]:
    """Of every contender that has a run to show."""
    classes, threads = len(settled.classes), settled.plan.threads
    shown = {done.job.contender for done in course.reported()}
    return {name: milliseconds(settled.contender(name), classes, settled.rule, threads) for name in sorted(shown)}


def refuse_failures(course: Scheduler) -> None:
    if not course.failed:
        return
    told = "; ".join(f"{done.job}: {done.fault}" for done in course.failed[:NAMED])
    more = f"; and {len(course.failed) - NAMED} more" if len(course.failed) > NAMED else ""
    raise VitrailError(
        f"{len(course.failed)} of {course.total} runs failed, the others are kept: {told}{more}. "
        "The same command tries them again"
    )
