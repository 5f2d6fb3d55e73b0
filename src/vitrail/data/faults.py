"""The faults of a manifest, collected for one error."""

from dataclasses import dataclass, field

from vitrail.errors import DataError, first_few


@dataclass(eq=False)
class Faults:
    """By the numbers of lines or rows; those of the whole come first."""

    place: str  # the file, or the class of the source
    unit: str  # line, row or item
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, number: int, what: str) -> None:
        self.found.append((number, f"{self.unit} {number}: {what}"))

    def say(self, what: str) -> None:
        """A fault of no single row."""
        self.found.append((0, what))

    def anew(self) -> "Faults":
        return Faults(self.place, self.unit)

    def refuse(self) -> None:
        """One error with the first faults and the number of the others."""
        if self.found:
            raise DataError(f"{self.place}: {first_few([what for _, what in sorted(self.found)])}")
