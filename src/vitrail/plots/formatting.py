"""Numbers as text: no more digits than are significant, and units."""

from math import floor, log10

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def percent(share: float) -> str:
    return f"{bare(share, decimals(share))} %"


def percent_range(share: float, low: float, high: float) -> str:
    """A share and its interval, all with the digits of the share."""
    digits = decimals(share) or 1
    return f"{bare(share, digits)} % ({bare(low, digits)} to {bare(high, digits)})"


def points_range(gap: float, low: float, high: float) -> str:
    """A difference of shares in percentage points and its interval, with fewer digits for a wide one."""
    digits = 1 if high - low >= 0.015 else 2
    return f"{points(gap, digits)} ({points(low, digits)} to {points(high, digits)})"


def points(gap: float, digits: int = 1) -> str:
    """With a minus sign, not a hyphen; none before zero."""
    text = f"{100 * gap:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def bare(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f}"


def decimals(share: float) -> int:
    """One, two near 0 and 1, none for exactly 0 or 1."""
    if share in (0, 1):
        return 0
    return 1 if 0.00995 <= share <= 0.99005 else 2


def probability(value: float) -> str:
    """Rounded down, and bounded at 1 % and 99 %."""
    if value > 0.99:
        return "> 99 %"
    return "< 1 %" if value < 0.01 else f"{floor(100 * value + 1e-9)} %"


def significance(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def count(number: float) -> str:
    return f"{number:,.0f}"


def significant(number: float, digits: int = 3) -> str:
    """Significant digits, without an exponent."""
    if number == 0:
        return "0"
    return f"{number:,.{max(digits - 1 - floor(log10(abs(number))), 0)}f}"


def quantity(number: float, unit: str) -> str:
    """With a prefix k, M, G or T."""
    for factor, prefix in PREFIXES:
        if abs(number) >= factor:
            return f"{significant(number / factor)} {prefix}{unit}"
    return f"{significant(number)} {unit}".rstrip()


def seconds(value: float) -> str:
    if value < 90:
        return f"{significant(value, 2)} s"
    return f"{significant(value / 60, 2)} min" if value < 5400 else f"{significant(value / 3600, 2)} h"


def money(amount: float, currency: str) -> str:
    """In hundredths below ten, one digit below a tenth, two digits from a hundred on."""
    if amount < 10:
        return f"{f'{amount:.2f}' if amount >= 0.1 else significant(amount, 1)} {currency}"
    return f"{round(amount, 2 - len(f'{amount:.0f}')):,.0f} {currency}"


def rate(value: float) -> str:
    """A learning rate."""
    return f"{value:.2g}"


def listed(items: list[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def plural(number: int, one: str, many: str | None = None) -> str:
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
