"""Elements of HTML and SVG as text; whatever comes from outside goes through `text` or an attribute, and is escaped."""

from html import escape


def text(words: str) -> str:
    return escape(words)


def element(name: str, /, *content: str, **attributes: str | float | None) -> str:
    """Content is markup already; `for_` and `class_` stand for the words that Python keeps, _ for -."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{told}>{''.join(content)}</{name}>"


def number(value: str | float) -> str:
    """Coordinates need a tenth of a pixel."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
