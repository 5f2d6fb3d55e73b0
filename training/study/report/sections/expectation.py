"""What was expected before anything ran, beside what came out."""

from vitrail.training.study.report.blocks import Quote, Section


def beforehand(expected: str, decision: str) -> Section | None:
    if not expected.strip():
        return None
    return Section(
        "expected",
        "What was expected",
        ("Written into the plan before anything ran:", Quote(expected), "What came out:", Quote(decision)),
    )
