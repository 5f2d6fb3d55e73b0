"""Matched cost: the width at which a contender costs as much as another one."""

from collections.abc import Callable
from dataclasses import dataclass

from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.training.study.building import architecture, parameters_and_flops
from vitrail.training.study.latency import milliseconds
from vitrail.training.study.plan import Contender, Measure, Plan

WIDEST = 2**14
Cost = Callable[[Contender], float]


@dataclass(frozen=True)
class Matched:
    """The target cost, and the cost reached with the nearest width."""

    by: Measure
    to: str
    width: int
    wanted: float
    reached: float

    def __str__(self) -> str:
        off = self.reached / self.wanted - 1
        return f"width {self.width}: {self.reached:,.4g} {self.by} beside {self.wanted:,.4g} of {self.to} ({off:+.1%})"


def resolve_widths(plan: Plan, classes: int, rule: InputRule) -> tuple[tuple[Contender, ...], dict[str, Matched]]:
    """Every contender with its final width, and the cost reached by those that match another."""
    resolved: list[Contender] = []
    matched: dict[str, Matched] = {}
    for contender in plan.contenders:
        if contender.match is None or contender.match_to is None:
            resolved.append(contender)
            continue
        cost = costs(contender.match, classes, rule, plan.threads)
        wanted = cost(plan.contender(contender.match_to))
        width, reached = nearest_width(contender, cost, wanted)
        resolved.append(contender.with_width(width))
        matched[contender.name] = Matched(contender.match, contender.match_to, width, wanted, reached)
    return tuple(resolved), matched


def costs(measure: Measure, classes: int, rule: InputRule, threads: int) -> Cost:
    if measure == "latency":
        return lambda contender: milliseconds(contender, classes, rule, threads)
    index = ("parameters", "flops").index(measure)
    return lambda contender: float(parameters_and_flops(contender, classes, rule)[index])


def nearest_width(contender: Contender, cost: Cost, wanted: float) -> tuple[int, float]:
    """By bisection, as cost grows with width. The width of a ViT is a multiple of four times its heads."""
    net = architecture(contender)
    if not hasattr(net, "width"):
        raise UsageError(f"'{contender.name}' has no `width` to choose")
    step: int = 4 * getattr(net, "heads", 0) or 1

    def of(multiple: int) -> float:
        return cost(contender.with_width(multiple * step))

    low, high = 1, 2
    while of(high) < wanted:
        if high * step >= WIDEST:
            raise UsageError(f"'{contender.name}' does not cost as much as its match even at width {high * step}")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if of(middle) < wanted else (low, middle)
    near = min((low, high), key=lambda multiple: abs(of(multiple) / wanted - 1))
    return near * step, of(near)
