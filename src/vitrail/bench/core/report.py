"""What all benchmarks report: the plan of alternating rounds, the machine, versions and date, and absent contenders."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vitrail.bench.core.machine import PACKAGES, Machine, this_machine
from vitrail.bench.core.rounds import MIN_ROUNDS
from vitrail.errors import UsageError
from vitrail.runtime.machine import installed_versions

Progress = Callable[[str], None]


def silent(line: str) -> None:
    """Report no progress."""


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class RoundsPlan:
    """How often contenders alternate, and how long each call of a contender is repeated."""

    rounds: int = 7
    seconds: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < MIN_ROUNDS:
            raise UsageError(f"{self.rounds} rounds are too few: measure at least {MIN_ROUNDS}")
        if self.seconds <= 0:
            raise UsageError(f"a turn takes more than 0 seconds, not {self.seconds:g}")


@dataclass(frozen=True)
class Absent:
    """A contender that is not measured, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where and when a benchmark ran; each benchmark adds its plan and results."""

    machine: Machine = field(default_factory=this_machine)
    versions: dict[str, str] = field(default_factory=lambda: installed_versions(PACKAGES))
    date: str = field(default_factory=utc_now)

    def header(self, title: str, cores: str = "cores") -> str:
        """Title, machine, date and versions, a line each."""
        machine = self.machine
        gpu = f"{machine.gpu}, " if machine.gpu else ""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{title}\n{gpu}{machine.cpu}, {machine.cores} {cores}, {machine.memory_gib} GiB\n{self.date}\n{versions}"
        )


def absent_text(absent: Iterable[Absent]) -> str:
    return "\n".join(f"not measured: {each.name}: {each.reason}" for each in absent)
