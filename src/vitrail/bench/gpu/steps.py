"""How a part reports its steps: each begins, has its time, and ends in rows, whatever happens."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

from vitrail.bench.gpu.plan import NO_TIME, Figures, Row, Status
from vitrail.errors import VitrailError

Work = Callable[[], Figures | None]


class Absent(VitrailError):
    """What a step needs is not installed or not there: a row, and no failure."""


@dataclass
class Steps:
    """The steps of one part, as they happen, told to `send` as events.

    What ends the process (a segmentation fault, an error of an unforeseen kind, a step over its time) is seen from
    outside, and the part is run again without the steps in `skip`; those that only prepare others are run again too.
    """

    part: str
    send: Callable[[dict[str, Any]], None]
    end: float  # moment of `clock` at which the part's time is over
    skip: frozenset[str] = frozenset()
    clock: Callable[[], float] = monotonic

    def left(self) -> float:
        return self.end - self.clock()

    def attempt(self, name: str, work: Work, *, least: float, most: float, prepares: bool = False) -> bool:
        """Do one step, if it has not been done and `least` seconds are left; whether it succeeded now.

        It may take `most` seconds. Its figures become its row; a step without figures has sent its own rows.
        """
        if name in self.skip:
            return False
        if self.left() < least:
            self.row(name, "not run", reason=NO_TIME)
            self.send({"event": "end", "name": name})
            return False
        self.send({"event": "begin", "name": name, "most": most})
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


def first_line(fault: BaseException) -> str:
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return lines[0] if lines else type(fault).__name__
