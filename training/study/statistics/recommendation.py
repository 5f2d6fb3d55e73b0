"""The decision in one plain sentence: who is ahead with this data, where that changes, what a wanted accuracy takes."""

from math import floor, log10

from vitrail.training.study.statistics.findings import Contender, Forecast, Pair, SizeGap
from vitrail.training.study.statistics.images_needed import Needed

SURE = 0.95


def sentence(forecast: Forecast) -> str:
    """What to do, for whoever reads one line only. The two best at the largest size are spoken of."""
    measured = [one for one in forecast.contenders if one.points and one.points[-1].images == forecast.sizes[-1]]
    ranked = sorted(measured, key=lambda one: one.points[-1].error)
    if not ranked:
        return f"No contender has a finished run with {count(forecast.sizes[-1])} images, so nothing can be said yet."
    parts = [alone(ranked[0])]
    if len(ranked) > 1:
        both = next(one for one in forecast.pairs if {one.first, one.second} == {ranked[0].name, ranked[1].name})
        parts = [ahead(ranked[0], ranked[1], both), change(both, forecast)]
    parts.append(wanted(ranked[0], forecast))
    return "; ".join(part for part in parts if part) + "."


def alone(only: Contender) -> str:
    point = only.points[-1]
    return f"With {count(point.images)} images {only.name} gets {right(point.error)} right"


def ahead(best: Contender, next_best: Contender, both: Pair) -> str:
    """Who is ahead at the largest size, and how surely."""
    gap = both.measured[-1]
    chance = probability(gap, both.first == best.name)
    scores = f"{right(best.points[-1].error)} right against {right(next_best.points[-1].error)}"
    if chance >= SURE:
        return f"With {count(gap.images)} images take {best.name}, not {next_best.name}: {scores} ({sure(chance)})"
    return (
        f"With {count(gap.images)} images neither {best.name} nor {next_best.name} is surely ahead: {scores} "
        f"({sure(chance)} that {best.name} is better)"
    )


def probability(gap: SizeGap, first: bool) -> float:
    return gap.first_ahead if first else 1 - gap.first_ahead


def change(both: Pair, forecast: Forecast) -> str:
    """Where the two change places, or that they do not."""
    found, end = both.crossing, about(forecast.grid[-1])
    if found.kind == "refused":
        return "where they cross cannot be foretold" + "".join(
            f", for {one.name} has no curve: {one.ill_behaved}"
            for one in forecast.contenders
            if one.ill_behaved and one.name in (both.first, both.second)
        )
    if found.kind == "undecided" or found.leader is None:
        return f"up to {end} images, nobody is foretold to be surely ahead"
    leader, other = (both.first, both.second)[:: 1 if found.leader == 0 else -1]
    if found.kind == "between" and found.low is not None and found.high is not None:
        verb = "overtakes" if found.high <= forecast.sizes[-1] else "is foretold to overtake"
        near = "" if found.point is None else f", near {about(found.point)}"
        return f"{leader} {verb} {other} between {about(found.low)} and {about(found.high)} images{near}"
    if found.kind == "beyond" and found.low is not None:
        likely = "not foretold" if found.point is None else f"most likely near {about(found.point)}, foretold"
        return f"{other} overtakes {leader} beyond {about(found.low)} images if at all ({likely} up to {end})"
    if found.kind == "before" and found.high is not None:
        return f"{leader} is surely ahead from {about(found.high)} images on, up to {end}"
    return f"{leader} stays ahead of {other} from {about(forecast.grid[0])} up to {end} images"


def wanted(best: Contender, forecast: Forecast) -> str:
    """What the first accuracy that the best has not yet reached would take."""
    if best.curve is None:
        return ""
    largest = forecast.sizes[-1]
    short = [one for one in best.curve.needed if one.accuracy > 1 - best.points[-1].error]
    if not short:
        return ""
    return takes(best.name, short[0], largest, forecast.grid[-1])


def takes(name: str, need: Needed, largest: int, end: float) -> str:
    goal = f"{100 * need.accuracy:g} % right"
    if need.images is None:
        luck = "" if need.low is None else f" (with luck from {about(need.low)})"
        return f"{goal} is not within reach of {name} with up to {about(end)} images{luck}"
    if need.images <= largest:
        return f"{goal} is about what {name} reaches now"
    low = "none" if need.low is None or need.low <= largest else about(need.low - largest)
    high = "beyond reach" if need.high is None else about(max(need.high - largest, 0))
    return f"{goal} would take {name} about {about(need.images - largest)} images more ({low} to {high})"


def right(error: float) -> str:
    return f"{1 - error:.1%}".replace("%", " %")


def sure(chance: float) -> str:
    return "more than 99 % sure" if chance > 0.99 else f"{floor(100 * chance)} % sure"


def count(images: float) -> str:
    return f"{images:,.0f}"


def about(images: float) -> str:
    """Two digits that count; the rest is not known anyway."""
    digits = max(floor(log10(images)) - 1, 0) if images >= 1 else 0
    return count(round(images, -digits))
