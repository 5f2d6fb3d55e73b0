"""Which contender is ahead at each size, with its probability, and where two contenders cross."""

from vitrail.plots.formatting import count, points_range, probability, significance
from vitrail.training.study.report.blocks import Block, Row, Section, Table
from vitrail.training.study.report.sections.images_needed import back_test_text
from vitrail.training.study.statistics.findings import Forecast, Pair
from vitrail.training.study.statistics.recommendation import about, crossing_text

EXTRAPOLATED = (2.0, 4.0)  # rows beyond the largest size, in multiples of it


def comparison(forecast: Forecast) -> Section:
    blocks: list[Block] = [
        "Contenders are compared image by image on the same test images. The gap is in percentage points of test "
        "error, with its 90 % interval; “probability” is that of the true gap having this sign."
    ]
    for pair in forecast.pairs:
        blocks += [table(pair, forecast), crossing(pair, forecast)]
    blocks.append(back_test_text(forecast))
    return Section("comparison", "Comparison", tuple(blocks))


def table(pair: Pair, forecast: Forecast) -> Table:
    head = ("Images", "Ahead", "By, points", "Probability", "p, paired")
    rows = [*measured_rows(pair), *forecast_rows(pair, forecast)]
    return Table(f"{pair.first} against {pair.second}", head, tuple(rows))


def measured_rows(pair: Pair) -> list[Row]:
    return [
        Row(
            (
                count(one.images),
                leader(pair, one.gap),
                gap_of_leader(one.gap, one.low, one.high),
                probability(leader_probability(one.first_ahead, one.gap)),
                significance(one.significance),
            )
        )
        for one in pair.measured
    ]


def forecast_rows(pair: Pair, forecast: Forecast) -> list[Row]:
    rows = []
    for index in (one for one in beyond(forecast) if one < len(pair.gap)):
        gap = pair.gap[index]
        cells = (
            f"{about(forecast.grid[index])}, forecast",
            leader(pair, gap),
            gap_of_leader(gap, pair.low[index], pair.high[index]),
            probability(leader_probability(pair.first_ahead[index], gap)),
            "–",
        )
        rows.append(Row(cells, forecast=True))
    return rows


def beyond(forecast: Forecast) -> list[int]:
    """Indices of the grid nearest to twice and four times the largest size."""
    grid, largest = forecast.grid, forecast.sizes[-1]
    wanted = [times * largest for times in EXTRAPOLATED if times * largest <= grid[-1] * 1.001]
    near = [min(range(len(grid)), key=lambda i, size=size: abs(grid[i] - size)) for size in wanted]  # type: ignore[misc]
    return [index for index in dict.fromkeys(near) if grid[index] > largest]


def leader(pair: Pair, gap: float) -> str:
    return "neither" if gap == 0 else pair.first if gap < 0 else pair.second


def gap_of_leader(gap: float, low: float, high: float) -> str:
    """The gap as the lead of the contender ahead."""
    return points_range(-gap, -high, -low) if gap < 0 else points_range(gap, low, high)


def leader_probability(first_ahead: float, gap: float) -> float:
    return first_ahead if gap < 0 else 1 - first_ahead


def crossing(pair: Pair, forecast: Forecast) -> str:
    sentence = crossing_text(pair, forecast)
    return f"{sentence[0].upper()}{sentence[1:]}."
