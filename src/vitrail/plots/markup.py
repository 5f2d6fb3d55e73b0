"""Elements of HTML and SVG as text; `text` and attributes escape their values."""

import re
from html import escape

TOGETHER = re.compile(
    r"(?<=\d) (?=%)"  # 93 %
    r"|(?<=&[gl]t;) (?=\d)|(?<=≤) (?=\d)"  # > 99
    r"|(?<=\d) (?=to [\d.,−]+\))|(?<=\d to) (?=[\d.,−]+\))"  # (4.2 to 7.9)
)


def text(content: str) -> str:
    """Escaped, with no-break spaces between a number and its %, its sign, and the other end of its interval."""
    return TOGETHER.sub("\N{NO-BREAK SPACE}", escape(content))


def with_code(paragraph: str) -> str:
    """Text between backquotes becomes a code element."""
    return "".join(
        element("code", text(part)) if index % 2 else text(part) for index, part in enumerate(paragraph.split("`"))
    )


def element(name: str, /, *content: str, **attributes: str | float | None) -> str:
    """Content is markup; in the names of attributes a trailing _ is dropped and _ stands for -."""
    return f"{void(name, **attributes)}{''.join(content)}</{name}>"


def void(name: str, /, **attributes: str | float | None) -> str:
    """An element without content."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>"


def number(value: str | float) -> str:
    """Numbers are coordinates, rounded to a tenth of a pixel."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
