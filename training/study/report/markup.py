"""Elements of HTML and SVG as text; whatever comes from outside goes through `text` or an attribute, and is escaped."""

import re
from html import escape

TOGETHER = re.compile(
    r"(?<=\d) (?=%)"  # 93 %
    r"|(?<=&[gl]t;) (?=\d)|(?<=≤) (?=\d)"  # > 99
    r"|(?<=\d) (?=to [\d.,−]+\))|(?<=\d to) (?=[\d.,−]+\))"  # (4.2 to 7.9)
)


def text(words: str) -> str:
    """A number stays on one line with its %, its sign, and the other end of its interval."""
    return TOGETHER.sub("\N{NO-BREAK SPACE}", escape(words))


def element(name: str, /, *content: str, **attributes: str | float | None) -> str:
    """Content is markup already; `class_` stands for the word that Python keeps, _ for -."""
    return f"{void(name, **attributes)}{''.join(content)}</{name}>"


def void(name: str, /, **attributes: str | float | None) -> str:
    """An element that can have no content."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{told}>"


def number(value: str | float) -> str:
    """Coordinates need a tenth of a pixel."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
