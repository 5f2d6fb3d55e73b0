"""`vitrail bench serve`: one model file behind many servers, measured in one run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any, Literal

from vitrail.bench.core.machine import Machine, installed_versions, this_machine
from vitrail.bench.serve.attack import AttackResult, measure_attacks
from vitrail.bench.serve.bare import session_process
from vitrail.bench.serve.contenders import Absent, Setup, running_contenders
from vitrail.bench.serve.overload import Overload, measure_overload
from vitrail.bench.serve.plan import Plan
from vitrail.bench.serve.processes import ResourceUsage, resource_usage
from vitrail.bench.serve.servers import PEERS, VITRAIL
from vitrail.bench.serve.start import REST, Start, measure_start
from vitrail.bench.serve.under_load import Measured, measure_load
from vitrail.bench.serve.uploads import uploads
from vitrail.model_file.classifier import Classifier

PACKAGES = ("vitrail", "bentoml", "starlette", "uvicorn", "uvloop", "httptools", "pillow", "numpy", "onnxruntime",
            "onnxruntime-gpu")  # fmt: skip

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """The model file, and what is uploaded to it."""

    sha256: str
    parameters: int
    canvas: int
    upload_bytes: int  # of all uploads, on average


@dataclass(frozen=True)
class Report:
    """Everything that was measured, and everything needed to measure it again."""

    plan: Plan
    subject: Subject
    machine: Machine
    versions: dict[str, str]
    date: str
    absent: tuple[Absent, ...]
    bare_batch: int | None
    load: tuple[Measured, ...]
    usage: dict[str, ResourceUsage]  # by each server, idle after the load
    overload: Overload | None
    start: Start | None
    attacks: tuple[AttackResult, ...]
    kind: Literal["serve"] = "serve"


def measure(plan: Plan, progress: Progress = lambda line: None) -> Report:
    """The parts that are asked for, all with the same file and the same uploads."""
    model = Classifier(plan.model, "cpu")
    images = uploads(model.card.input.size, plan.seed)
    found: dict[str, Any] = {"absent": (), "bare_batch": None, "load": (), "held": {}, "overload": None, "start": None}
    found["attacks"] = ()
    with TemporaryDirectory() as folder:
        setup = Setup(Path(plan.model), images, Path(plan.peers), Path(folder))
        if "load" in plan.parts:
            found |= load(plan, setup, progress)
        if "overload" in plan.parts:
            with running_contenders([VITRAIL], replace(setup, folder=setup.folder / "overload")) as (contenders, _):
                found["overload"] = measure_overload(contenders[0], plan.overload_seconds, plan.seed, progress)
        if "start" in plan.parts:
            found["start"] = measure_start(setup, plan.rounds, plan.seed, progress)
        if "attack" in plan.parts:
            found["attacks"] = measure_attacks(setup, plan.attackers, plan.rounds, plan.seconds, plan.seed, progress)
    return Report(
        plan=plan,
        subject=Subject(
            model.sha256, model.card.parameters, model.card.input.size, sum(map(len, images)) // len(images)
        ),
        machine=this_machine(),
        versions=installed_versions(PACKAGES),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        **found,
    )


def load(plan: Plan, setup: Setup, progress: Progress) -> dict[str, Any]:
    progress("starting the servers")
    files = []
    for number, upload in enumerate(setup.uploads):
        files.append(setup.folder / f"{number}.jpg")
        files[-1].write_bytes(upload)
    with (
        running_contenders([VITRAIL, *PEERS], setup) as (contenders, absent),
        session_process(setup.model, files) as bare,
    ):
        bare_batch = bare.compute(plan.seconds).batch
        measured = tuple(
            measure_load(contenders, bare, connections, plan.rounds, plan.seconds, plan.seed, progress)
            for connections in plan.connections
        )
        sleep(REST)
        at_rest = {each.name: resource_usage(each.running.pid) for each in contenders}
    return {"absent": tuple(absent), "bare_batch": bare_batch, "load": measured, "held": at_rest}
