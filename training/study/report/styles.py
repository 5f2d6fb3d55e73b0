"""The styles of contenders: colour, shape of points, and dashes of the forecast."""

from dataclasses import dataclass

from vitrail.plots.markup import element


@dataclass(frozen=True)
class Style:
    """Colours for the light and the dark theme are safe for colour-blind readers (after Okabe and Ito)."""

    light: str
    dark: str
    shape: str  # in SVG path letters, about 10 wide around 0, 0
    dash: str
    marker: str  # the same shape in matplotlib


DISC = "M-4.6 0a4.6 4.6 0 1 0 9.2 0a4.6 4.6 0 1 0 -9.2 0z"
SQUARE = "M-4.2 -4.2h8.4v8.4h-8.4z"
TRIANGLE = "M0 -5.4L5.2 4H-5.2z"
DIAMOND = "M0 -5.8L5.4 0L0 5.8L-5.4 0z"
TURNED = "M0 5.4L5.2 -4H-5.2z"
CROSS = "M-1.8 -5h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z"

STYLES = (
    Style("#005f9e", "#66b8ee", DISC, "7 4", "o"),
    Style("#c2500a", "#f4a259", SQUARE, "2 3", "s"),
    Style("#00795a", "#4ccfa5", TRIANGLE, "10 3 2 3", "^"),
    Style("#9c3c7f", "#e79cce", DIAMOND, "4 2", "D"),
    Style("#6b5a00", "#e6d24a", TURNED, "12 4", "v"),
    Style("#4a4f5a", "#b6bcc8", CROSS, "2 2 6 2", "P"),
)


def style(index: int) -> Style:
    """Beyond six contenders styles repeat; the names at the curves tell them apart."""
    return STYLES[index % len(STYLES)]


def swatch(index: int) -> str:
    """A line with a point, for the legend."""
    return element(
        "svg",
        element("line", x1=1.0, y1=8.0, x2=31.0, y2=8.0, class_="line"),
        element("path", d=style(index).shape, transform="translate(16 8)", class_="mean"),
        class_=f"swatch c{index}",
        width="32",
        height="16",
        viewBox="0 0 32 16",
        aria_hidden="true",
    )


def colours(count: int) -> str:
    """CSS: the colour of each contender, and its checkbox that hides it."""
    rules = [
        f".c{index} {{ --own: light-dark({style(index).light}, {style(index).dark}); --dash: {style(index).dash}; }}\n"
        f"figure:has(#show-{index}:not(:checked)) .plot .c{index} {{ display: none; }}"
        for index in range(count)
    ]
    return "\n".join(rules)
