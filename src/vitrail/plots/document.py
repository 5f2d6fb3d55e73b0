"""A page of HTML with nothing outside it: one style, no script, light and dark."""

from importlib.resources import files

from vitrail.plots.markup import element, text

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, *body: str) -> str:
    """The whole page; `body` is markup."""
    styles = files("vitrail.plots").joinpath("document.css").read_text(encoding="utf-8")
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<link rel="icon" href="data:,">',
        element("title", text(title)),
        element("style", styles),
    ]
    lines = ["<!doctype html>", '<html lang="en">', element("head", *head), element("body", *body), "</html>\n"]
    return "\n".join(lines)
