"""The recommendation in one sentence: the better contender, where that changes, what a target accuracy takes."""

from math import floor, log10

from vitrail.training.study.statistics.baseline import Baseline, best_at
from vitrail.training.study.statistics.difference import CONFIDENCE
from vitrail.training.study.statistics.findings import Contender, Forecast, Pair, SizeGap
from vitrail.training.study.statistics.images_needed import ImagesNeeded
from vitrail.training.study.statistics.next_measurement import NextMeasurement

IF = "if the curves go on as they do"


def recommendation(forecast: Forecast, baselines: tuple[Baseline, ...] = (), price: str = "") -> str:
    """One sentence about the two best contenders at the largest size, the baseline that they do not beat, a price."""
    ranked = by_error(forecast)
    if not ranked:
        return f"No contender has a finished run with {count(forecast.sizes[-1])} images, so there is no result yet."
    parts = [single(ranked[0])]
    if len(ranked) > 1:
        both = next(one for one in forecast.pairs if {one.first, one.second} == {ranked[0].name, ranked[1].name})
        parts = [ahead(ranked[0], ranked[1], both), settling(forecast.next_measurement), crossing_text(both, forecast)]
    parts[0] += behind(ranked, best_at(baselines, forecast.sizes[-1])) + limits(ranked)
    parts += [next_target(ranked[0], forecast), price]
    if not ranked[0].refused or not any(ranked[0].refused in part for part in parts):
        parts.append(refusal(ranked[0]))
    parts += map(collapses, ranked[:2])
    return "; ".join(part for part in parts if part) + "."


def by_error(forecast: Forecast) -> list[Contender]:
    """The contenders with a run at the largest size, the best first."""
    measured = [one for one in forecast.contenders if one.points and one.points[-1].images == forecast.sizes[-1]]
    return sorted(measured, key=lambda one: one.points[-1].error)


def single(only: Contender) -> str:
    point = only.points[-1]
    return f"With {count(point.images)} images, {only.name} has {accuracy(point.error)} accuracy"


def ahead(best: Contender, next_best: Contender, both: Pair) -> str:
    gap = both.measured[-1]
    certainty = probability(gap, both.first == best.name)
    scores = f"{accuracy(best.points[-1].error)} accuracy against {accuracy(next_best.points[-1].error)}"
    if certainty >= CONFIDENCE:
        return f"With {count(gap.images)} images, take {best.name}, not {next_best.name}: {scores} ({sure(certainty)})"
    return (
        f"With {count(gap.images)} images, neither {best.name} nor {next_best.name} is clearly ahead: {scores} "
        f"({sure(certainty)} that {best.name} is better)"
    )


def settling(missing: NextMeasurement | None) -> str:
    """What would settle which of the two is better, or why nothing within reach would."""
    if missing is None:
        return ""
    seeds = f"{missing.seeds} more seed{'s' if missing.seeds > 1 else ''} of each at {count(missing.images)} images"
    tested = f"{about(missing.test_images)} test images"
    if missing.probability is None and missing.kind == "shocks":
        return (
            "neither more seeds nor more test images would settle it: what all runs of a size share, such as the "
            "images chosen and the learning rate, scatters too much"
        )
    if missing.probability is None:
        return f"they are too close for {seeds} and {tested} to settle it"
    settled = f"would settle it if the gap stays as it is (a chance of {floor(100 * missing.probability)} %)"
    if missing.kind == "seeds":
        return f"{seeds} {settled}"
    if missing.kind == "test images":
        return f"more seeds would not settle it, as the test images scatter too much: {tested} {settled}"
    return f"{seeds} and {tested} {settled}"


def behind(ranked: list[Contender], baseline: Baseline | None) -> str:
    """Which contenders are worse than the best baseline."""
    worse = [one.name for one in ranked if baseline is not None and one.points[-1].error > baseline.error]
    if baseline is None or not worse:
        return ""
    score = accuracy(baseline.error)
    return f" – but {baseline} beats {listed(worse)} with {score}"


def limits(contenders: list[Contender]) -> str:
    """Which of them are measured with runs that were too short."""
    short = {one.name: [count(point.images) for point in one.points if point.limited] for one in contenders}
    if not any(short.values()):
        return ""
    whole = [one.name for one in contenders if len(short[one.name]) == len(one.points)]
    if len(whole) == len(contenders):
        return " – longer runs may change this: limited by budget are all"
    cells = [f"{name} with {listed(sizes)} images" for name, sizes in short.items() if sizes and name not in whole]
    cells += [f"{listed(whole)} at every size"] if whole else []
    return f" – longer runs may change this: limited by budget is {listed(cells)}"


def listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def probability(gap: SizeGap, first: bool) -> float:
    return gap.first_ahead if first else 1 - gap.first_ahead


def crossing_text(both: Pair, forecast: Forecast) -> str:
    """Where the two curves cross, or that they do not; beyond the largest size only if they go on as they do."""
    crossing = both.crossing
    if crossing.kind == "refused":
        return "nothing can be said of where they cross" + "".join(
            f", as {who}: {reason}" for reason, who in without_curve(both, forecast).items()
        )
    last = forecast.end_of(both)
    largest = min(forecast.sizes[-1], last)
    end = f", nor up to {about(last)} {IF}" if last > largest else ""
    if crossing.kind == "undecided" or crossing.leader is None:
        return f"neither is clearly ahead at any size up to {count(largest)} images{end}"
    leader, other = (both.first, both.second)[:: 1 if crossing.leader == 0 else -1]
    if crossing.kind == "between" and crossing.low is not None and crossing.high is not None:
        near = "" if crossing.point is None else f", near {about(crossing.point)}"
        near += "" if crossing.high <= largest else f", {IF}"
        return f"{leader} overtakes {other} between {about(crossing.low)} and {about(crossing.high)} images{near}"
    if crossing.kind == "beyond" and crossing.low is not None:
        likely = "" if crossing.point is None else f", most likely near {about(crossing.point)}"
        likely += f" {IF}" if crossing.point is not None and crossing.point > largest else ""
        return f"{other} overtakes {leader} beyond {about(crossing.low)} images if at all{likely}"
    further = f", and up to {about(last)} {IF}" if last > largest else ""
    if crossing.kind == "before" and crossing.high is not None:
        if crossing.high > largest:
            return f"{leader} is clearly ahead from {about(crossing.high)} images on {IF}"
        return f"{leader} is clearly ahead from {about(crossing.high)} to {count(largest)} images{further}"
    return f"{leader} is ahead of {other} from {about(forecast.grid[0])} to {count(largest)} images{further}"


def without_curve(both: Pair, forecast: Forecast) -> dict[str, str]:
    """Why a curve is missing, and whose: of one of the pair, or of neither."""
    found: dict[str, list[str]] = {}
    for one in forecast.contenders:
        if one.ill_behaved and one.name in (both.first, both.second):
            found.setdefault(one.ill_behaved, []).append(one.name)
    return {
        reason: f"{names[0]} has no curve" if len(names) == 1 else "neither has a curve"
        for reason, names in found.items()
    }


def next_target(best: Contender, forecast: Forecast) -> str:
    """What the first target accuracy above that of the best contender takes."""
    need = next_need(best)
    if best.curve is None or need is None:
        return ""
    return images_for(best.name, need, forecast.sizes[-1], forecast.end_of(best.curve))


def next_need(best: Contender) -> ImagesNeeded | None:
    """The images for that target; None without a forecast, and where all targets are reached."""
    needs = best.curve.images_needed if best.curve and not best.refused else ()
    return next((one for one in needs if one.accuracy > 1 - best.points[-1].error), None)


def images_for(name: str, need: ImagesNeeded, largest: int, end: float) -> str:
    target = f"{100 * need.accuracy:g} % accuracy"
    if need.images is None:
        luck = "" if need.low is None else f", at best {about(need.low)}"
        return f"{target} takes {name} more than {about(end)} images{luck}, if its curve goes on as it does"
    if need.images <= largest:
        return f"{target} is about what {name} reaches now"
    low = "none" if need.low is None or need.low <= largest else about(need.low - largest)
    high = "more than can be told" if need.high is None else about(max(need.high - largest, 0))
    more = about(need.images - largest)
    return f"{target} takes {name} about {more} images more ({low} to {high}), if its curve goes on as it does"


def refusal(best: Contender) -> str:
    """Why nothing is said of more images."""
    return f"{best.name} has no forecast: {best.refused}" if best.refused else ""


def collapses(one: Contender) -> str:
    collapsed, runs = sum(point.collapsed for point in one.points), sum(point.seeds for point in one.points)
    return f"{collapsed} of {runs} runs of {one.name} collapsed, which its accuracy includes" if collapsed else ""


def accuracy(error: float) -> str:
    return f"{1 - error:.1%}".replace("%", " %")


def sure(probability: float) -> str:
    return "more than 99 % sure" if probability > 0.99 else f"{floor(100 * probability)} % sure"


def count(images: float) -> str:
    return f"{images:,.0f}"


def about(images: float) -> str:
    """Two significant digits."""
    digits = max(floor(log10(images)) - 1, 0) if images >= 1 else 0
    return count(round(images, -digits))
