"""What a check of a set reports: its counts, and findings, each with what to do about it."""

from dataclasses import dataclass
from typing import Literal

# `fit` refuses; worth a look before training; good to know.
Weight = Literal["refused", "warning", "note"]
WEIGHTS: dict[Weight, str] = {"refused": "fit refuses", "warning": "look at", "note": "good to know"}

EXAMPLES = 200  # groups of images that a finding keeps, except that damaged files are all listed
GROUP = 50  # images of a group that an example keeps


@dataclass(frozen=True)
class Example:
    """Images that belong together in a finding: one alone, or those of a group."""

    images: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """One kind of fault or peculiarity, with all or the first of its images."""

    kind: str
    weight: Weight
    text: str
    advice: str = ""
    count: int = 1
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class ClassCount:
    """The images of one class in each part."""

    name: str
    train: int
    val: int
    test: int

    @property
    def total(self) -> int:
        return self.train + self.val + self.test


@dataclass(frozen=True)
class Spread:
    """Least, quartiles and most."""

    least: int
    low: int
    median: int
    high: int
    most: int


@dataclass(frozen=True)
class Report:
    """The whole check of one set."""

    path: str
    task: str
    count: int
    classes: tuple[ClassCount, ...]
    formats: dict[str, int]
    modes: dict[str, int]
    shorter: Spread | None  # sides in pixels; none where no image decodes
    longer: Spread | None
    cut: tuple[float, float] | None  # the share of pixels that a centre crop cuts: of the median image, and at most
    findings: tuple[Finding, ...]

    @property
    def is_refused(self) -> bool:
        """Whether `fit` would refuse the set."""
        return any(one.weight == "refused" for one in self.findings)

    def of_weight(self, weight: Weight) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.weight == weight)
