"""Our server on a GPU under closed-loop load from a process of its own."""

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vitrail.bench.gpu.device import used_gib
from vitrail.bench.gpu.plan import Figures, Plan
from vitrail.bench.gpu.steps import Absent, Steps
from vitrail.bench.gpu.subject import NAMES, model_file, require_provider
from vitrail.runtime.providers import Provider

if TYPE_CHECKING:
    from vitrail.bench.serve.contenders import Contender
    from vitrail.bench.serve.servers import Server

START_SECONDS = 150  # until a server is ready, which builds its TensorRT engine


def measure(plan: Plan, steps: Steps, folder: Path) -> None:
    """One process on each provider; on the first also as many as the server finds best."""
    loads = len(plan.connections) * (2 * plan.load_seconds + 5)
    for provider, processes in (*((each, "1") for each in plan.providers), (plan.providers[0], "auto")):
        steps.attempt(
            f"server, {name_of(provider, processes)}",
            partial(under_load, plan, steps, provider, processes, folder),
            min_seconds=20 + loads,
            max_seconds=START_SECONDS + 2 * loads,
        )


def name_of(provider: Provider, processes: str) -> str:
    return NAMES[provider] if processes == "1" else f"{NAMES[provider]} and {processes} processes"


def under_load(plan: Plan, steps: Steps, provider: Provider, processes: str, folder: Path) -> None:
    """Start the server, compare its predictions with the file's on the CPU, then a row a number of connections."""
    for package in ("bentoml", "uvloop", "httptools"):
        if find_spec(package) is None:
            raise Absent(f"{package} is not installed: pip install 'vitrail[serve]'")
    require_provider(provider)
    from vitrail.bench.serve.contenders import Setup, expected_predictions, running_contender
    from vitrail.bench.serve.uploads import uploads

    model = model_file(plan, folder)
    setup = Setup(model, uploads(plan.size, plan.seed)[:8], folder, folder / f"serve-{provider}-{processes}")
    name = name_of(provider, processes)
    before = used_gib(plan.device)
    with running_contender(server_on(provider, processes), setup, expected_predictions(setup)) as contender:
        steps.row(f"{name}, ready", "measured", {"seconds": contender.running.seconds_to_ready})
        for connections in plan.connections:
            figures = load(plan, contender, connections) | {"held_gib": used_gib(plan.device) - before}
            steps.row(f"{name}, {connections} connections", "measured", figures)


def server_on(provider: Provider, processes: str = "1") -> "Server":
    from vitrail.bench.serve.servers import VITRAIL

    command = tuple(provider if word == "cpu" else word for word in VITRAIL.command)
    return replace(VITRAIL, command=(*command, "--processes", processes))


def load(plan: Plan, contender: "Contender", connections: int) -> Figures:
    from vitrail.bench.serve.under_load import turn

    done = turn(contender, connections, plan.load_seconds)
    return {
        "requests_per_second": done.rate,
        "p50_ms": done.p50_ms or 0.0,
        "p99_ms": done.p99_ms or 0.0,
        "cpu_ms": done.cpu_ms,
        "requests_failed": float(done.failed),
    }
