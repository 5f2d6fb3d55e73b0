"""How contenders differ to the eye: by colour, by the shape of their points, and by how their forecast is dashed."""

from dataclasses import dataclass

from vitrail.training.study.report.markup import element


@dataclass(frozen=True)
class Look:
    """Colours on light and on dark paper, which people who confuse colours tell apart (after Okabe and Ito)."""

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

LOOKS = (
    Look("#005f9e", "#66b8ee", DISC, "7 4", "o"),
    Look("#c2500a", "#f4a259", SQUARE, "2 3", "s"),
    Look("#00795a", "#4ccfa5", TRIANGLE, "10 3 2 3", "^"),
    Look("#9c3c7f", "#e79cce", DIAMOND, "4 2", "D"),
    Look("#6b5a00", "#e6d24a", TURNED, "12 4", "v"),
    Look("#4a4f5a", "#b6bcc8", CROSS, "2 2 6 2", "P"),
)


def look(index: int) -> Look:
    """Beyond six contenders looks repeat; names at the lines then tell who is who."""
    return LOOKS[index % len(LOOKS)]


def swatch(index: int) -> str:
    """A piece of line with a point, for the legend."""
    return element(
        "svg",
        element("line", x1=1.0, y1=8.0, x2=31.0, y2=8.0, class_="line"),
        element("path", d=look(index).shape, transform="translate(16 8)", class_="mean"),
        class_=f"swatch c{index}",
        width="32",
        height="16",
        viewBox="0 0 32 16",
        aria_hidden="true",
    )


def colours(count: int) -> str:
    """CSS: each contender's own colour, and how its checkbox hides it."""
    rules = [
        f".c{index} {{ --own: light-dark({look(index).light}, {look(index).dark}); --dash: {look(index).dash}; }}\n"
        f"figure:has(#show-{index}:not(:checked)) .plot .c{index} {{ display: none; }}"
        for index in range(count)
    ]
    return "\n".join(rules)
