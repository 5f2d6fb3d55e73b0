"""A report as one self-contained HTML file with the images that it speaks of; no script, no other resource."""

from collections.abc import Iterator, Mapping

from vitrail.data.check.check import Checked
from vitrail.data.check.findings import WEIGHTS, ClassCount, Example, Finding, Report
from vitrail.data.check.inline import inline_image
from vitrail.data.check.listing import Item
from vitrail.data.check.text import headline, printable, quartiles, tally
from vitrail.plots.document import document
from vitrail.plots.markup import element, text, with_code

GROUPS, IMAGES = 24, 8  # of a finding that are shown, and of a group
LISTED = 1000  # names of a finding whose images do not decode
CLASSES, SAMPLES = 50, 6  # classes with sample images, and images of each
SMALL = 56  # height of a sample in pixels


def page(checked: Checked) -> str:
    report = checked.report
    body = [header(report), facts(report), classes(checked), *sections(checked)]
    return document(f"Check of {printable(report.path)}", *body)


def header(report: Report) -> str:
    refused, warnings = (len(report.of_weight(weight)) for weight in ("refused", "warning"))
    decision = (
        "`vitrail fit` refuses this set: mend what is listed first"
        if refused
        else f"`vitrail fit` takes this set; {warnings} finding(s) are worth a look before training"
        if warnings
        else "`vitrail fit` takes this set, and nothing stands out"
    )
    return element(
        "header",
        element("h1", text(printable(headline(report)))),
        element("p", with_code(decision), class_="decision"),
    )


def facts(report: Report) -> str:
    rows = [
        ("Formats", tally(report.formats)),
        ("Modes", tally(report.modes)),
        ("Shorter sides", quartiles(report.shorter) if report.shorter else ""),
        ("Longer sides", quartiles(report.longer) if report.longer else ""),
        (
            "A centre crop cuts",
            f"{report.cut[0]:.0%} of the median image, {report.cut[1]:.0%} at most" if report.cut else "",
        ),
    ]
    return element("dl", *(element("dt", text(name)) + element("dd", text(fact)) for name, fact in rows if fact))


def classes(checked: Checked) -> str:
    """The table of classes, the first with sample images."""
    report, samples = checked.report, samples_of(checked)
    names = ("train", "val", "test", "all")
    columns = [element("th", text(name), scope="col", class_="number") for name in names]
    head = element("tr", element("th", "class", scope="col"), *columns, element("th", "samples", scope="col"))
    rows = [class_row(checked, one, samples.get(one.name, [])) for one in report.classes]
    table = element("table", element("thead", head), element("tbody", *rows))
    return element("section", element("h2", "Classes"), element("div", table, class_="scroll", tabindex="0"))


def class_row(checked: Checked, one: ClassCount, samples: list[Item]) -> str:
    numbers = (one.train, one.val, one.test, one.total)
    shown = "".join(inline_image(checked.listing, item, SMALL) for item in samples)
    return element(
        "tr",
        element("th", text(printable(one.name)), scope="row"),
        *(element("td", f"{number:,}", class_="number") for number in numbers),
        element("td", element("div", shown, class_="images")),
    )


def samples_of(checked: Checked) -> Mapping[str, list[Item]]:
    """Images of the first classes, evenly spread over each."""
    listing, first = checked.listing, {one.name for one in checked.report.classes[:CLASSES]}
    members: dict[str, list[Item]] = {}
    for item in listing.items:
        name = listing.class_of(item) or checked.report.classes[0].name
        if name in first:
            members.setdefault(name, []).append(item)
    return {name: some[:: max(1, len(some) // SAMPLES)][:SAMPLES] for name, some in members.items()}


def sections(checked: Checked) -> Iterator[str]:
    items = {item.name: item for item in checked.listing.items}
    for weight, heading in WEIGHTS.items():
        if findings := checked.report.of_weight(weight):
            cards = [card(checked, items, one) for one in findings]
            yield element("section", element("h2", text(heading.capitalize())), *cards)


def card(checked: Checked, items: Mapping[str, Item], one: Finding) -> str:
    """A finding with its images; those that do not decode by name alone."""
    is_seen = one.weight != "refused" or one.kind == "leak"
    limit = GROUPS if is_seen else LISTED
    groups = [group(checked, items, example, one, is_seen) for example in one.examples[:limit]]
    more = one.count - limit if len(one.examples) > limit else 0
    return element(
        "article",
        element("h3", with_code(one.text)),
        element("p", with_code(one.advice)) if one.advice else "",
        element("ul", *groups, class_="groups") if groups else "",
        element("p", f"and {more:,} more", class_="soft") if more > 0 else "",
        class_=f"finding {one.weight}",
    )


def group(checked: Checked, items: Mapping[str, Item], example: Example, one: Finding, is_seen: bool) -> str:
    figures = [
        element(
            "figure",
            inline_image(checked.listing, items[name], crops=one.kind == "cropped")
            if is_seen and name in items
            else "",
            element("figcaption", text(printable(name))),
        )
        for name in example.images[:IMAGES]
    ]
    more = len(example.images) - IMAGES
    return element(
        "li",
        element("div", *figures, class_="images") if figures else "",
        element("div", text(printable(example.note)), class_="soft") if example.note else "",
        element("div", f"and {more} more", class_="soft") if more > 0 else "",
    )
