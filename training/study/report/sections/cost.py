"""The cost of each contender, in training and in prediction."""

from statistics import median

from vitrail.plots.formatting import count, plural, quantity, seconds, significant
from vitrail.training.study.jobs import FinishedRun, Result, Timing
from vitrail.training.study.report.blocks import Block, Row, Section, Table
from vitrail.training.study.report.results import StudyResults


def cost(results: StudyResults) -> Section:
    largest = results.resolved.sizes[-1]
    blocks: list[Block] = [
        "Times were measured on the machine below with concurrent runs; latency is the median time of the exported "
        f"ONNX model for one image on the CPU, with {plural(results.resolved.plan.threads, 'thread')}."
    ]
    blocks += [f"{name} has the {reached}." for name, reached in matched(results).items()]
    names = results.names
    head = ("Measure", *names)
    rows = (
        Row(("Parameters", *(count(result.parameters) if result else "–" for result in each(results)))),
        Row(("FLOPs an image", *(quantity(result.flops, "") if result else "–" for result in each(results)))),
        Row(("Latency, exported", *(latency(results, name) for name in names))),
        Row((f"Run with {count(largest)} images", *(run_time(results.runs(name, largest)) for name in names))),
        Row(("All runs, rates included", *(total_time(results, name) for name in names))),
        *energy(results),
    )
    return Section("cost", "Cost", (*blocks, Table("Cost of each contender", head, rows)))


def matched(results: StudyResults) -> dict[str, str]:
    return {
        name: f"width {one.width}, chosen to match {one.to}: {quantity(one.reached, UNITS[one.by])} against "
        f"{quantity(one.wanted, UNITS[one.by])}"
        for name, one in results.resolved.matched.items()
    }


UNITS = {"flops": "FLOPs", "parameters": "parameters", "latency": "ms of latency"}


def each(results: StudyResults) -> list[Result | None]:
    """A result of every contender, as parameters and FLOPs do not depend on the run."""
    return [
        next((done.result for done in results.reported if done.job.contender == name), None) for name in results.names
    ]


def latency(results: StudyResults, name: str) -> str:
    milliseconds = results.latencies.get(name)
    return "not measured" if milliseconds is None else f"{significant(milliseconds, 2)} ms"


def run_time(runs: list[FinishedRun]) -> str:
    times = [done.timing.seconds for done in runs if done.timing]
    return seconds(median(times)) if times else "–"


def timings(results: StudyResults, name: str) -> list[Timing]:
    return [done.timing for done in (*results.reported, *results.trials) if done.timing and done.job.contender == name]


def total_time(results: StudyResults, name: str) -> str:
    return seconds(sum(timing.seconds for timing in timings(results, name)))


def energy(results: StudyResults) -> tuple[Row, ...]:
    """If a GPU has measured it."""
    measured = [[timing.joules for timing in timings(results, name)] for name in results.names]
    if not any(joules for each in measured for joules in each):
        return ()
    known = [[joules for joules in each if joules is not None] for each in measured]
    return (Row(("GPU energy of all runs", *(quantity(sum(each), "J") if each else "–" for each in known))),)
