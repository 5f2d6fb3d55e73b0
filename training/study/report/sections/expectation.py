"""The expectation written before the study, beside its result."""

from vitrail.training.study.report.blocks import Quote, Section


def expectation(expected: str, decision: str) -> Section | None:
    if not expected.strip():
        return None
    return Section(
        "expected",
        "Expectation",
        ("Written into the plan before the first run:", Quote(expected), "Result:", Quote(decision)),
    )
