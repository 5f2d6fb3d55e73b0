"""How much memory one call needs at its most, as torch's profiler counts it."""

import gc
from collections.abc import Iterable
from itertools import accumulate

from torch.profiler import ProfilerActivity, profile

from vitrail.bench.attention.cases import Case

MAX_BYTES = 2 * 2**30  # bytes; what would need more is left out


def peak_bytes(case: Case) -> int:
    """All that forward and backward hold at once beside inputs and weights: what is kept, results, gradients."""
    case.step()  # what is made once is there
    case.clear()
    gc.collect()  # nothing of before is freed while we count
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        case.step()
    events = profiler.profiler.kineto_results.events()
    return peak((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")


def peak(changes: Iterable[tuple[int, int]]) -> int:
    """The most bytes held at any time; each change is a time and bytes taken (or, below zero, given back)."""
    return max(accumulate((count for _, count in sorted(changes, key=lambda change: change[0])), initial=0))


def extrapolated_bytes(peak: int, vectors: int, more: int) -> int:
    """What a call with `more` vectors may need, if all that one needs with `vectors` grew with their square."""
    return round(peak * (more / vectors) ** 2)
