"""`vitrail bench serve`: one model file behind many servers, measured in one run."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any, Literal

from vitrail.bench.core.report import Absent, Progress, Report, RoundsPlan, silent
from vitrail.bench.serve.attack import AttackResult, measure_attacks
from vitrail.bench.serve.attackers import ATTACKERS
from vitrail.bench.serve.bare import session_process
from vitrail.bench.serve.contenders import Setup, running_contenders
from vitrail.bench.serve.overload import Overload, measure_overload
from vitrail.bench.serve.processes import ResourceUsage, resource_usage
from vitrail.bench.serve.servers import PEERS, VITRAIL, of_processes
from vitrail.bench.serve.start import REST, Start, measure_start
from vitrail.bench.serve.under_load import LoadResults, measure_load
from vitrail.bench.serve.uploads import uploads
from vitrail.errors import UsageError
from vitrail.model_file.classifier import Classifier
from vitrail.runtime.machine import installed_versions

PACKAGES = ("vitrail", "bentoml", "starlette", "uvicorn", "uvloop", "httptools", "pillow", "numpy", "onnxruntime",
            "onnxruntime-gpu")  # fmt: skip


PARTS = ("load", "overload", "start", "attack")


@dataclass(frozen=True)
class Plan(RoundsPlan):
    """Parts: servers under load side by side; ours above its capacity; start-up, and memory at rest; and ours beside
    attackers, which is measured only on request: each attacker takes a minute."""

    model: str
    parts: tuple[str, ...] = PARTS[:3]
    connections: tuple[int, ...] = (1, 16, 64)
    seconds: float = field(default=3.0, kw_only=True)
    overload_seconds: float = 120.0
    attackers: tuple[str, ...] = tuple(ATTACKERS)
    peers: str = ".peers"
    processes: tuple[int, ...] = ()  # further servers of ours under load, with as many processes

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.parts or not set(self.parts) <= set(PARTS):
            raise UsageError(f"parts of this measurement are {', '.join(PARTS)}, not {','.join(self.parts) or 'none'}")
        if not self.attackers or not set(self.attackers) <= ATTACKERS.keys():
            raise UsageError(f"attackers are {', '.join(ATTACKERS)}, not {','.join(self.attackers) or 'none'}")
        if not self.connections or min(self.connections) < 1:
            raise UsageError("there is at least 1 connection")
        if self.overload_seconds <= 0:
            raise UsageError("a measurement takes more than 0 seconds")


@dataclass(frozen=True)
class Subject:
    """The model file, and what is uploaded to it."""

    sha256: str
    parameters: int
    canvas: int
    upload_bytes: int  # mean


@dataclass(frozen=True, kw_only=True)
class ServeReport(Report):
    """The parts that were measured; the others are empty."""

    plan: Plan
    subject: Subject
    absent: tuple[Absent, ...] = ()
    bare_batch: int | None = None
    load: tuple[LoadResults, ...] = ()
    usage: dict[str, ResourceUsage] = field(default_factory=dict)  # of each server, idle after the load
    overload: Overload | None = None
    start: Start | None = None
    attacks: tuple[AttackResult, ...] = ()
    kind: Literal["serve"] = "serve"


def measure(plan: Plan, progress: Progress = silent) -> ServeReport:
    """The parts of the plan, all with the same file and the same uploads."""
    model = Classifier(plan.model, "cpu")
    images = uploads(model.card.input.size, plan.seed)
    upload_bytes = sum(map(len, images)) // len(images)
    results: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        setup = Setup(Path(plan.model), images, Path(plan.peers), Path(folder))
        if "load" in plan.parts:
            results |= load(plan, setup, progress)
        if "overload" in plan.parts:
            with running_contenders([VITRAIL], replace(setup, folder=setup.folder / "overload")) as (contenders, _):
                results["overload"] = measure_overload(contenders[0], plan.overload_seconds, plan.seed, progress)
        if "start" in plan.parts:
            results["start"] = measure_start(setup, plan.rounds, plan.seed, progress)
        if "attack" in plan.parts:
            results["attacks"] = measure_attacks(setup, plan.attackers, plan.rounds, plan.seconds, plan.seed, progress)
    return ServeReport(
        plan=plan,
        subject=Subject(model.sha256, model.card.parameters, model.card.input.size, upload_bytes),
        versions=installed_versions(PACKAGES),
        **results,
    )


def load(plan: Plan, setup: Setup, progress: Progress) -> dict[str, Any]:
    progress("starting the servers")
    files = []
    for number, upload in enumerate(setup.uploads):
        files.append(setup.folder / f"{number}.jpg")
        files[-1].write_bytes(upload)
    with (
        running_contenders([VITRAIL, *map(of_processes, plan.processes), *PEERS], setup) as (contenders, absent),
        session_process(setup.model, files) as bare,
    ):
        bare_batch = bare.compute(plan.seconds).batch
        measured = tuple(
            measure_load(contenders, bare, connections, plan.rounds, plan.seconds, plan.seed, progress)
            for connections in plan.connections
        )
        sleep(REST)
        at_rest = {each.name: resource_usage(each.running.pid) for each in contenders}
    return {"absent": tuple(absent), "bare_batch": bare_batch, "load": measured, "usage": at_rest}
