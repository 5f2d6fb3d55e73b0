"""A whole study: resolve the plan, measure baselines, run what is missing, write tables and report, list failures."""

from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic

from vitrail.data import Source, open_source
from vitrail.errors import VitrailError, first_few
from vitrail.runtime.providers import usable_cores
from vitrail.training.runs import environment, write_json
from vitrail.training.study.baselines import measure_baselines
from vitrail.training.study.executors import Workers
from vitrail.training.study.executors.on_ray import on_ray
from vitrail.training.study.executors.pool import pool
from vitrail.training.study.executors.this_process import this_process
from vitrail.training.study.gpus import visible_gpus
from vitrail.training.study.latency import milliseconds
from vitrail.training.study.parsing import StudyOptions
from vitrail.training.study.plan import Plan
from vitrail.training.study.prices import keep_prices
from vitrail.training.study.progress import ProgressDisplay, progress_display
from vitrail.training.study.report.report import write_report
from vitrail.training.study.report.results import collect_results
from vitrail.training.study.resolved_plan import ResolvedPlan, resolve
from vitrail.training.study.scheduler import Scheduler, StopRule
from vitrail.training.study.statistics.stopping import decide_by_seeds
from vitrail.training.study.store import FAILED, existing_plan, save_plan
from vitrail.training.study.tables import write_results, write_timings
from vitrail.training.study.weights import with_weights


def study(options: StudyOptions, just_resolved: ResolvedPlan | None = None) -> Scheduler:
    """Run the study; failed runs raise an error after all others have finished."""
    folder = options.folder
    source = open_source(options.plan.data["path"], options.plan.data["seed"])
    resolved = resolved_in(folder, with_weights(options.plan, options.weights), source, just_resolved)
    keep_prices(folder, options.prices)
    display = progress_display()
    introduce(resolved, folder, display)
    begin = monotonic()
    measure_baselines(resolved, source, folder, display.message)
    budget = None if options.budget is None else options.budget - (monotonic() - begin)
    scheduler = Scheduler(resolved, folder, display, budget)
    try:
        with executor(options, resolved) as workers:
            scheduler.run(workers, stop_rule_of(options))
    finally:
        write_results(folder / "results.csv", scheduler.reported())
        display.close()
    write_timings(folder / "timings.csv", scheduler.runs.values(), latencies(resolved, scheduler))
    write_json(folder / FAILED, {done.job.name: done.fault for done in scheduler.failed})
    if scheduler.reported():
        write_report(folder, collect_results(folder, resolved, scheduler.runs.values()))
    refuse_failures(scheduler)
    return scheduler


def stop_rule_of(options: StudyOptions) -> StopRule | None:
    if options.until_sure is None:
        return None
    planned, confidence = len(options.plan.seeds), options.until_sure
    return lambda outcomes: decide_by_seeds(outcomes, planned, confidence).stop


def resolved_in(folder: Path, plan: Plan, source: Source, just_resolved: ResolvedPlan | None) -> ResolvedPlan:
    """The plan as an earlier call resolved it, else resolved now: measured widths must not change between calls."""
    existing = existing_plan(folder, plan, source.fingerprint)
    if existing is not None:
        save_plan(folder, existing)  # it may have grown
        return existing
    resolved = just_resolved or resolve(plan, source)
    write_json(folder / "environment.json", environment())
    save_plan(folder, resolved)
    return resolved


def introduce(resolved: ResolvedPlan, folder: Path, display: ProgressDisplay) -> None:
    sizes = ", ".join(f"{size:,}" for size in resolved.sizes)
    names = ", ".join(contender.name for contender in resolved.contenders)
    display.message(f"{folder}: {names} on {sizes} labelled images of {resolved.source}, seeds {resolved.plan.seeds}")
    for name, matched in resolved.matched.items():
        display.message(f"{name} matched: {matched}")
    for name, execution in resolved.executions.items():
        display.message(f"{name} trains in {execution}")


def workers_of(options: StudyOptions) -> int:
    """Concurrent runs: as given, else one a GPU, else as many as the cores allow."""
    return options.workers or len(gpus_of(options.plan)) or max(1, usable_cores() // options.plan.threads)


def gpus_of(plan: Plan) -> tuple[str, ...]:
    return visible_gpus() if plan.device != "cpu" else ()


def executor(options: StudyOptions, resolved: ResolvedPlan) -> AbstractContextManager[Workers]:
    if options.executor == "here":
        return this_process(resolved)
    if options.executor == "ray":
        return on_ray(resolved, options.address, options.workers, options.gpu_share)
    return pool(resolved, workers_of(options), gpus_of(resolved.plan))


def latencies(resolved: ResolvedPlan, scheduler: Scheduler) -> dict[str, float]:
    """Milliseconds of every contender with a reported run."""
    classes, threads = len(resolved.classes), resolved.plan.threads
    names = {done.job.contender for done in scheduler.reported()}
    return {name: milliseconds(resolved.contender(name), classes, resolved.rule, threads) for name in sorted(names)}


def refuse_failures(scheduler: Scheduler) -> None:
    failed = scheduler.failed
    if not failed:
        return
    listed = first_few([f"{done.job}: {done.fault}" for done in failed])
    raise VitrailError(
        f"{len(failed)} of {scheduler.total} runs failed, the others are stored: {listed}. "
        "Run the same command again to repeat them"
    )
