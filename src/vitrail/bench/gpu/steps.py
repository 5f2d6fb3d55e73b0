"""How a part reports its steps: each has a time limit and ends in rows, even if it fails."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

from vitrail.bench.gpu.plan import NO_TIME, Figures, Row, Status
from vitrail.errors import VitrailError, first_line

Work = Callable[[], Figures | None]


class Absent(VitrailError):
    """What a step needs is not installed: a row, and no failure."""


@dataclass
class Steps:
    """The steps of one part, sent as events while they run.

    A step that ends the process (a segmentation fault, an unexpected exception, a timeout) is handled by the parent,
    which runs the part again without the steps in `skip`; steps that only prepare others run again.
    """

    part: str
    send: Callable[[dict[str, Any]], None]
    end: float  # time of `clock` at which the part must end
    skip: frozenset[str] = frozenset()
    clock: Callable[[], float] = monotonic

    def left(self) -> float:
        return self.end - self.clock()

    def attempt(self, name: str, work: Work, *, min_seconds: float, max_seconds: float, prepares: bool = False) -> bool:
        """Run a step unless it is in `skip` or fewer than `min_seconds` are left; returns whether it succeeded.

        It may take `max_seconds`. Its figures become its row; a step without figures sends its own rows.
        """
        if name in self.skip:
            return False
        if self.left() < min_seconds:
            self.row(name, "not run", reason=NO_TIME)
            self.send({"event": "end", "name": name})
            return False
        self.send({"event": "begin", "name": name, "max_seconds": max_seconds})
        succeeded = False
        try:
            figures = work()
        except Absent as fault:
            self.row(name, "absent", reason=str(fault))
        except (VitrailError, RuntimeError) as fault:  # torch's errors are RuntimeErrors, out of memory too
            self.row(name, "failed", reason=first_line(fault))
        else:
            succeeded = True
            if figures is not None:
                self.row(name, "measured", figures)
        if not (succeeded and prepares):
            self.send({"event": "end", "name": name})
        else:
            self.send({"event": "prepared", "name": name})
        return succeeded

    def row(self, name: str, status: Status, figures: Figures | None = None, reason: str = "") -> None:
        self.send({"event": "row", "row": asdict(Row(self.part, name, status, figures or {}, reason))})
