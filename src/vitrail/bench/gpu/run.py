"""`vitrail bench gpu`: each part in a process of its own, its rows as they come, all within the time limit."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Literal

from vitrail.bench.core.machine import PACKAGES, this_machine
from vitrail.bench.core.report import Report, utc_now
from vitrail.bench.gpu.plan import NO_TIME, SHARES, Plan, Row, Status
from vitrail.bench.serve.processes import process_tree
from vitrail.runtime.machine import installed_versions

START = 90.0  # seconds that a part may take before its first step, and between two
GRACE = 10.0  # seconds that a terminated process has to stop its servers
LIBRARIES = (*PACKAGES, "torchvision", "pytorch-lightning", "bentoml", "tensorrt-cu13", "triton", "nvidia-cudnn-cu13")

PART = (sys.executable, "-m", "vitrail.bench.gpu.part")  # runs one part, and writes events to a descriptor

OnRow = Callable[[Row], None]


@dataclass(frozen=True, kw_only=True)
class GpuReport(Report):
    """All rows so far."""

    plan: Plan
    minutes: float  # that it took
    finished: bool
    rows: tuple[Row, ...]
    kind: Literal["gpu"] = "gpu"

    @property
    def no_device(self) -> str | None:
        """Why there is no device to measure, else None."""
        return next((row.reason for row in self.rows if row.part == "device" and row.status == "absent"), None)

    @property
    def failed(self) -> bool:
        return any(row.status == "failed" for row in self.rows)


@dataclass
class Run:
    """Collects rows; `on_row` gets each, and `on_report` all so far, so that a killed run leaves them."""

    plan: Plan
    on_row: OnRow = lambda row: None
    on_report: Callable[[GpuReport], None] = lambda report: None
    clock: Callable[[], float] = monotonic
    command: Sequence[str] = PART
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin = self.clock()
        self.machine = this_machine()
        self.versions = installed_versions(LIBRARIES)
        self.date = utc_now()

    @property
    def end(self) -> float:
        """When the last part is stopped if it still runs, which may take up to `GRACE`."""
        return self.begin + 60 * self.plan.minutes - GRACE

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.on_report(self.report(finished=False))
        self.on_row(row)

    def report(self, finished: bool) -> GpuReport:
        minutes = round((self.clock() - self.begin) / 60, 2)
        names = (row.name for row in self.rows if row.part == "device" and row.status == "measured")
        machine = replace(self.machine, gpu=next(names, None))
        return GpuReport(
            machine=machine,
            versions=self.versions,
            date=self.date,
            plan=self.plan,
            minutes=minutes,
            finished=finished,
            rows=tuple(self.rows),
        )

    def measure(self) -> GpuReport:
        """The device, then the parts in turn. Nothing is measured where there is no device."""
        with TemporaryDirectory(prefix="vitrail-gpu-") as folder:
            self.measure_part("device", Path(folder), min(self.end, self.clock() + START))
            if all(row.status == "measured" for row in self.rows):
                for part in self.plan.parts:
                    self.measure_part(part, Path(folder), self.end_of(part))
            elif self.report(finished=False).no_device is None:
                reason = self.rows[-1].reason
                for part in self.plan.parts:
                    self.add(Row(part, part, "not run", {}, reason if reason == NO_TIME else f"no device: {reason}"))
        report = self.report(finished=True)
        self.on_report(report)
        return report

    def end_of(self, part: str) -> float:
        """When a part's share of the remaining time is over; time that earlier parts did not use is shared."""
        coming = self.plan.parts[self.plan.parts.index(part) :]
        now = self.clock()
        return now + max(0.0, self.end - now) * SHARES[part] / sum(SHARES[each] for each in coming)

    def measure_part(self, part: str, folder: Path, end: float) -> None:
        """Run a part, again without each step that crashes or hangs, until it finishes or its time is over."""
        skip: set[str] = set()
        while end > self.clock():
            ended = self.run_once(part, folder, end, skip)
            if ended.finished:
                return
            rest = ", and all after it" if ended.step and ended.status == "not run" else ""
            self.add(Row(part, f"{ended.step or part}{rest}", ended.status, {}, ended.reason))
            if ended.step is None or ended.status == "not run":
                return
            skip.add(ended.step)
        self.add(Row(part, part, "not run", {}, NO_TIME))

    def run_once(self, part: str, folder: Path, end: float, skip: set[str]) -> "PartOutcome":
        job = {
            "part": part,
            "plan": asdict(self.plan),
            "skip": sorted(skip),
            "seconds": end - self.clock(),
            "folder": str(folder),
        }
        log = folder / f"{part}.log"
        step: str | None = None
        limit = left = START
        with part_process(self.command, job, log) as running:
            while True:
                begun = self.clock()
                event = running.next_event(max(0.0, min(left, end - begun)))
                if event is None:
                    if running.ended:
                        return PartOutcome(False, step, "failed", running.reason())
                    if self.clock() >= end:
                        return PartOutcome(False, step, "not run", NO_TIME)
                    return PartOutcome(False, step, "failed", f"took longer than {limit:g} s")
                left -= self.clock() - begun  # rows of a step do not extend its time
                kind = event["event"]
                if kind == "row":
                    self.add(Row(**event["row"]))
                elif kind == "begin":
                    step, limit = event["name"], event["max_seconds"]
                    left = limit
                elif kind == "done":
                    return PartOutcome(True)
                else:
                    if kind == "end":
                        skip.add(event["name"])
                    step, limit = None, START
                    left = limit


@dataclass(frozen=True)
class PartOutcome:
    """How a process of a part ended, and its current step."""

    finished: bool
    step: str | None = None
    status: Status = "failed"
    reason: str = ""


class Running:
    """The process of a part, and the events that it writes."""

    def __init__(self, process: "subprocess.Popen[bytes]", events: int, log: Path) -> None:
        self.process, self.events, self.log = process, events, log
        self.read = b""
        self.ended = False

    def next_event(self, seconds: float) -> dict[str, Any] | None:
        """The next event, or None after a timeout or once the process has `ended`."""
        until = monotonic() + seconds
        while b"\n" not in self.read:
            ready, _, _ = select.select([self.events], [], [], max(0.0, until - monotonic()))
            if not ready:
                return None
            more = os.read(self.events, 65536)
            if not more:
                self.ended = True
                return None
            self.read += more
        line, _, self.read = self.read.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    def reason(self) -> str:
        """Why the process ended early: its last line of output, or its signal."""
        try:
            code = self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "the process closed its events, and did not end"
        if code < 0:
            return f"the process was ended by {signal.Signals(-code).name}"
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"the process ended with {code}"

    def stop(self) -> None:
        """Terminate it and its servers; kill what is left."""
        members = process_tree(self.process.pid) if self.process.poll() is None else []
        if members:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE)
        for member in members:
            with suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        self.process.wait()


@contextmanager
def part_process(command: Sequence[str], job: dict[str, Any], log: Path) -> Iterator[Running]:
    """The process; its events come through a pipe of their own, since libraries write to stdout."""
    reading, writing = os.pipe()
    with log.open("wb") as output, os.fdopen(reading, "rb"):
        process = subprocess.Popen(
            [*command, str(writing)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            start_new_session=True,  # Ctrl-C reaches the command alone, which then stops this one
        )
        os.close(writing)
        running = Running(process, reading, log)
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it ended at once, which shows in its events
                process.stdin.write(json.dumps(job).encode())
                process.stdin.close()
            yield running
        finally:
            running.stop()
