"""A report as text for a terminal."""

from collections.abc import Iterator, Mapping, Sequence

from vitrail.data.check.findings import WEIGHTS, Example, Finding, Report, Spread

CLASSES = 20  # rows of the table
SHOWN = 3  # examples of a finding
LISTED = ("corrupt", "unreadable")  # kinds of which every image is listed


def text_of(report: Report) -> str:
    blocks = [headline(report), class_table(report), facts(report), *map("\n".join, found(report))]
    return "\n\n".join(block for block in blocks if block)


def headline(report: Report) -> str:
    classes = f", {len(report.classes):,} classes" if len(report.classes) > 1 else ""
    return f"{report.path}: {report.task}, {report.count:,} images{classes}"


def class_table(report: Report) -> str:
    rows = [(one.name, one.train, one.val, one.test, one.total) for one in report.classes[:CLASSES]]
    more = report.classes[CLASSES:]
    if more:
        columns = ([getattr(one, name) for one in more] for name in ("train", "val", "test", "total"))
        rows.append((f"{len(more):,} more classes", *(sum(column) for column in columns)))
    return aligned(
        [("", "train", "val", "test", "all"), *((name, *(f"{n:,}" for n in numbers)) for name, *numbers in rows)]
    )


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def facts(report: Report) -> str:
    lines = [
        f"formats      {tally(report.formats)}" if report.formats else "",
        f"modes        {tally(report.modes)}" if report.modes else "",
        f"short sides  {quartiles(report.shorter)}" if report.shorter else "",
        f"long sides   {quartiles(report.longer)}" if report.longer else "",
        f"centre crop  cuts {report.cut[0]:.0%} of the median image, {report.cut[1]:.0%} at most" if report.cut else "",
    ]
    return "\n".join(filter(None, lines))


def tally(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in numbers.items())


def quartiles(spread: Spread) -> str:
    middle = f"{spread.low:,} to {spread.high:,} for half of the images, median {spread.median:,}"
    return f"{spread.least:,} to {spread.most:,} pixels; {middle}"


def found(report: Report) -> Iterator[list[str]]:
    """The findings of each weight under its heading."""
    for weight, heading in WEIGHTS.items():
        if findings := report.of_weight(weight):
            yield [heading, *(line for finding in findings for line in lines_of(finding))]


def lines_of(finding: Finding) -> Iterator[str]:
    yield f"  - {finding.text}"
    shown = finding.examples if finding.kind in LISTED else finding.examples[:SHOWN]
    for example in shown:
        yield f"      {example_text(example, ' ≈ ' if finding.kind.startswith('near') else ' = ')}"
    if finding.advice:
        yield f"    {finding.advice}"


def example_text(example: Example, sign: str) -> str:
    names = sign.join(map(printable, example.images))
    return f"{names}: {example.note}" if names and example.note else names or printable(example.note)


def printable(name: str) -> str:
    """Names of files may hold anything: control characters are escaped, and bytes that are not UTF-8."""
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
    return shown.encode("utf-8", "backslashreplace").decode()
