"""Workers on a Ray cluster: one actor each, on any node that has vitrail and the images."""

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import Any

from vitrail.errors import VitrailError
from vitrail.training.study.executors import Workers
from vitrail.training.study.executors.workers import Crew, Hand
from vitrail.training.study.jobs import Done, Job
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.worker import Worker

PATIENCE = 5.0  # seconds for somebody to answer
LONGER_PATIENCE = 30.0  # for a cluster to say how it is; Python imports Ray first


@contextmanager
def on_ray(settled: ResolvedPlan, address: str, workers: int | None, gpu_share: float) -> Iterator[Workers]:
    """As many runs at a time as asked for, else as the cluster has cores, or shares of GPUs, for."""
    ray = connected(address)
    try:
        needs = {"num_cpus": settled.plan.threads, "num_gpus": gpu_share if uses_gpus(ray, settled) else 0}
        room = room_for(ray, needs)
        crew = Crew(lambda: Actor(ray, settled, needs), ready, min(workers or room, room))
        try:
            yield crew
        finally:
            crew.dismiss()
    finally:
        ray.shutdown()


def connected(address: str) -> Any:
    """The ray module, connected; Ray itself would try an address where nobody is for minutes."""
    require_somebody(address)
    try:
        import ray
    except ModuleNotFoundError as fault:
        raise VitrailError("`--executor ray` needs pip install 'vitrail[cpu,train,export,ray]'") from fault
    require_cluster(address)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as fault:
        raise VitrailError(f"the Ray cluster at {address} cannot be joined: {first_line(str(fault))}") from fault
    return ray


def require_somebody(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except OSError as fault:
        raise VitrailError(f"nobody answers at {address}, where the Ray cluster should be: {fault}") from fault


def require_cluster(address: str) -> None:
    """Whoever answers must be the head of a cluster; asked from a process that can be given up."""
    asked = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=LONGER_PATIENCE, check=False)
    except subprocess.TimeoutExpired as fault:
        raise VitrailError(f"somebody listens at {address}, but does not answer as a Ray cluster does") from fault
    if found.returncode:
        raise VitrailError(f"the Ray cluster at {address} is not well: {first_line(found.stderr or found.stdout)}")


def first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "it does not say why")


def uses_gpus(ray: Any, settled: ResolvedPlan) -> bool:
    wanted = settled.plan.device
    return wanted == "gpu" or (wanted == "auto" and ray.cluster_resources().get("GPU", 0) > 0)


def room_for(ray: Any, needs: dict[str, float]) -> int:
    """How many workers with these needs the cluster has room for; none would wait for ever."""
    there = ray.cluster_resources()
    cores, gpus = there.get("CPU", 0) // needs["num_cpus"], there.get("GPU", 0)
    room = int(cores if not needs["num_gpus"] else min(cores, gpus / needs["num_gpus"]))
    if room < 1:
        raise VitrailError(
            f"the Ray cluster has {there.get('CPU', 0):g} cores and {gpus:g} GPUs, and a run needs "
            f"{needs['num_cpus']:g} and {needs['num_gpus']:g}"
        )
    return room


class Actor:
    """A worker that Ray has placed somewhere."""

    def __init__(self, ray: Any, settled: ResolvedPlan, needs: dict[str, float]) -> None:
        self.ray = ray
        self.actor = ray.remote(**needs)(Worker).remote(settled, time())
        self.answer: Any = None

    def take(self, job: Job) -> None:
        self.answer = self.actor.run.remote(job)

    def finished(self) -> Done | None:
        try:
            done: Done = self.ray.get(self.answer)
        except self.ray.exceptions.RayActorError:
            return None
        return done

    def dismiss(self) -> None:
        self.ray.kill(self.actor)


def ready(busy: list[Hand]) -> list[tuple[Hand, Done | None]]:
    hands = {hand.answer: hand for hand in busy if isinstance(hand, Actor)}
    ray = next(iter(hands.values())).ray
    answered, _ = ray.wait(list(hands), num_returns=1)
    return [(hands[answer], hands[answer].finished()) for answer in answered]
