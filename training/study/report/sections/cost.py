"""What each contender costs: to learn, and to answer."""

from statistics import median

from vitrail.training.study.jobs import Done, Result, Timing
from vitrail.training.study.report.blocks import Block, Row, Section, Table
from vitrail.training.study.report.formatting import count, quantity, seconds, significant
from vitrail.training.study.report.results import Found


def cost(found: Found) -> Section:
    largest = found.settled.sizes[-1]
    blocks: list[Block] = [
        "Times are those of the machine below, with other runs at work beside them; latency is the median time of one "
        f"image through the exported ONNX model on the CPU, with {found.settled.plan.threads} thread"
        f"{'s' if found.settled.plan.threads > 1 else ''}."
    ]
    blocks += [f"{name} was given the {told}." for name, told in matched(found).items()]
    head = ("What", *found.names)
    rows = (
        Row(("Parameters", *(count(result.parameters) if result else "–" for result in each(found)))),
        Row(("FLOPs an image", *(quantity(result.flops, "") if result else "–" for result in each(found)))),
        Row(("Latency, exported", *(latency(found, name) for name in found.names))),
        Row((f"A run with {count(largest)} images", *(run_time(found.runs(name, largest)) for name in found.names))),
        Row(("All its runs, rates included", *(total_time(found, name) for name in found.names))),
        *energy(found),
    )
    return Section("cost", "What it costs", (*blocks, Table("Cost of each contender", head, rows)))


def matched(found: Found) -> dict[str, str]:
    return {
        name: f"width {one.width}, so that it has {quantity(one.reached, UNITS[one.by])} beside "
        f"{quantity(one.wanted, UNITS[one.by])} of {one.to}"
        for name, one in found.settled.matched.items()
    }


UNITS = {"flops": "FLOPs", "parameters": "parameters", "latency": "ms of latency"}


def each(found: Found) -> list[Result | None]:
    """A result of every contender: what a network is does not depend on the run."""
    return [next((done.result for done in found.reported if done.job.contender == name), None) for name in found.names]


def latency(found: Found, name: str) -> str:
    told = found.latencies.get(name)
    return "not measured" if told is None else f"{significant(told, 2)} ms"


def run_time(runs: list[Done]) -> str:
    times = [done.timing.seconds for done in runs if done.timing]
    return seconds(median(times)) if times else "–"


def timings(found: Found, name: str) -> list[Timing]:
    return [done.timing for done in (*found.reported, *found.trials) if done.timing and done.job.contender == name]


def total_time(found: Found, name: str) -> str:
    return seconds(sum(timing.seconds for timing in timings(found, name)))


def energy(found: Found) -> tuple[Row, ...]:
    """Where a GPU counted it."""
    told = [[timing.joules for timing in timings(found, name)] for name in found.names]
    if not any(joules for each in told for joules in each):
        return ()
    sums = [[joules for joules in each if joules is not None] for each in told]
    return (Row(("Energy of its runs, by the GPU", *(quantity(sum(each), "J") if each else "–" for each in sums))),)
