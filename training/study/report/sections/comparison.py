"""Who is ahead at which size and how surely, and where two contenders change places."""

from vitrail.training.study.report.back_test import told as back_test
from vitrail.training.study.report.blocks import Block, Row, Section, Table
from vitrail.training.study.report.formatting import chance, count, points_range, significance
from vitrail.training.study.statistics.findings import Forecast, Pair
from vitrail.training.study.statistics.recommendation import about, change

FURTHER = (2.0, 4.0)  # times the largest size, as far as the forecast reaches


def ahead(forecast: Forecast) -> Section:
    blocks: list[Block] = [
        "Both answered the same test images, so they are compared image by image. The gap is in points of test "
        "error, with its 90 % interval; “how sure” is the probability that the true gap has this sign."
    ]
    for pair in forecast.pairs:
        blocks += [table(pair, forecast), crossing(pair, forecast)]
    blocks.append(back_test(forecast))
    return Section("ahead", "Who is ahead, and how surely", tuple(blocks))


def table(pair: Pair, forecast: Forecast) -> Table:
    head = ("Images", "Ahead", "By, points", "How sure", "p, paired")
    rows = [*measured(pair), *foretold(pair, forecast)]
    return Table(f"{pair.first} against {pair.second}", head, tuple(rows))


def measured(pair: Pair) -> list[Row]:
    return [
        Row(
            (
                count(one.images),
                leader(pair, one.gap),
                gap_of_leader(one.gap, one.low, one.high),
                chance(sureness(one.first_ahead, one.gap)),
                significance(one.significance),
            )
        )
        for one in pair.measured
    ]


def foretold(pair: Pair, forecast: Forecast) -> list[Row]:
    if not pair.gap:
        return []
    rows = []
    for index in beyond(forecast):
        gap = pair.gap[index]
        cells = (
            f"{about(forecast.grid[index])}, foretold",
            leader(pair, gap),
            gap_of_leader(gap, pair.low[index], pair.high[index]),
            chance(sureness(pair.first_ahead[index], gap)),
            "–",
        )
        rows.append(Row(cells, foretold=True))
    return rows


def beyond(forecast: Forecast) -> list[int]:
    """Places of the grid nearest to twice and four times the largest size."""
    grid, largest = forecast.grid, forecast.sizes[-1]
    wanted = [times * largest for times in FURTHER if times * largest <= grid[-1] * 1.001]
    near = [min(range(len(grid)), key=lambda i, size=size: abs(grid[i] - size)) for size in wanted]  # type: ignore[misc]
    return [index for index in dict.fromkeys(near) if grid[index] > largest]


def leader(pair: Pair, gap: float) -> str:
    return "nobody" if gap == 0 else pair.first if gap < 0 else pair.second


def gap_of_leader(gap: float, low: float, high: float) -> str:
    """As what the leader is ahead by."""
    return points_range(-gap, -high, -low) if gap < 0 else points_range(gap, low, high)


def sureness(first_ahead: float, gap: float) -> float:
    return first_ahead if gap < 0 else 1 - first_ahead


def crossing(pair: Pair, forecast: Forecast) -> str:
    told = change(pair, forecast)
    return f"{told[0].upper()}{told[1:]}."
