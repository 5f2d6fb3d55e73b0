"""Why `fit` refuses a set: it does not open, files cannot be read, images do not decode."""

from collections.abc import Iterator, Sequence

from vitrail.data.check.findings import Example, Finding
from vitrail.data.check.listing import Item, Listing, of_source
from vitrail.data.check.scan import Fault, Outcome, scan
from vitrail.data.source import PARTS, Part, Source

Corrupt = tuple[Item, Fault]


def corrupt_images(path: str, source: Source) -> dict[Part, dict[int, str]]:
    """The images of each part that do not decode or cannot be read, by their index, with the reason; all are read."""
    items = of_source(path, source).items
    outcomes, _ = scan(items, source, lambda done, count: None)
    found: dict[Part, dict[int, str]] = {part: {} for part in PARTS}
    for item, fault in corrupt_among(items, outcomes):
        found[item.part][item.index] = fault.reason
    return found


def corrupt_among(items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Corrupt]:
    pairs = zip(items, outcomes, strict=True)
    return [(item, outcome) for item, outcome in pairs if isinstance(outcome, Fault)]


def findings_of(listing: Listing, corrupt: Sequence[Corrupt]) -> Iterator[Finding]:
    if listing.refusal:
        yield Finding("cannot be opened", "refused", listing.refusal)
    unreadable = [pair for pair in corrupt if pair[1].is_unreadable]
    if unreadable:
        text = f"files that cannot be read: {len(unreadable):,}"
        advice = "give yourself the right to read them (`chmod u+r`), or remove them"
        yield Finding("unreadable", "refused", text, advice, len(unreadable), named(unreadable))
    damaged = [pair for pair in corrupt if not pair[1].is_unreadable]
    if damaged:
        text = f"images that do not decode: {len(damaged):,}"
        advice = "fetch or export them again, or remove them"
        yield Finding("corrupt", "refused", text, advice, len(damaged), named(damaged))


def named(corrupt: Sequence[Corrupt]) -> tuple[Example, ...]:
    return tuple(Example((item.name,), fault.reason) for item, fault in corrupt)
