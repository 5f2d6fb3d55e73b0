"""Workers on a Ray cluster: one actor each, on any node that has vitrail and the images."""

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import Any

from vitrail.errors import VitrailError, first_line
from vitrail.training.study.executors import Workers
from vitrail.training.study.executors.workers import WorkerHandle, WorkerPool
from vitrail.training.study.jobs import FinishedRun, Job
from vitrail.training.study.resolved_plan import ResolvedPlan
from vitrail.training.study.worker import Worker

CONNECT_TIMEOUT = 5.0  # seconds
STATUS_TIMEOUT = 30.0  # seconds for `ray status`, which imports Ray first


@contextmanager
def on_ray(resolved: ResolvedPlan, address: str, workers: int | None, gpu_share: float) -> Iterator[Workers]:
    """`workers` runs at a time, but no more than the cluster has cores, or shares of GPUs, for."""
    ray = connected(address)
    try:
        resources = {"num_cpus": resolved.plan.threads, "num_gpus": gpu_share if uses_gpus(ray, resolved) else 0}
        capacity = capacity_for(ray, resources)
        size = min(workers or capacity, capacity)
        worker_pool = WorkerPool(lambda: Actor(ray, resolved, resources), wait_for_workers, size)
        try:
            yield worker_pool
        finally:
            worker_pool.stop()
    finally:
        ray.shutdown()


def connected(address: str) -> Any:
    """The ray module, connected; the address is checked first, as Ray itself retries a wrong one for minutes."""
    require_listener(address)
    try:
        import ray
    except ModuleNotFoundError as fault:
        raise VitrailError("`--executor ray` needs pip install 'vitrail[cpu,train,export,ray]'") from fault
    require_cluster(address)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as fault:
        raise VitrailError(f"cannot join the Ray cluster at {address}: {first_line(fault)}") from fault
    return ray


def require_listener(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT).close()
    except OSError as fault:
        raise VitrailError(f"no Ray cluster listens at {address}: {fault}") from fault


def require_cluster(address: str) -> None:
    """`ray status` must succeed at the address; run as a process, which a timeout can end."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        status = subprocess.run(command, capture_output=True, text=True, timeout=STATUS_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as fault:
        raise VitrailError(f"the server at {address} does not respond as a Ray cluster") from fault
    if status.returncode:
        raise VitrailError(f"the Ray cluster at {address} is not healthy: {first_line(status.stderr or status.stdout)}")


def uses_gpus(ray: Any, resolved: ResolvedPlan) -> bool:
    device = resolved.plan.device
    return device == "gpu" or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)


def capacity_for(ray: Any, resources: dict[str, float]) -> int:
    """The number of workers with these resources that fit the cluster; none would wait for ever."""
    cluster = ray.cluster_resources()
    cores, gpus = cluster.get("CPU", 0) // resources["num_cpus"], cluster.get("GPU", 0)
    capacity = int(cores if not resources["num_gpus"] else min(cores, gpus / resources["num_gpus"]))
    if capacity < 1:
        raise VitrailError(
            f"a run needs {resources['num_cpus']:g} cores and {resources['num_gpus']:g} GPUs, and the Ray cluster has "
            f"{cluster.get('CPU', 0):g} and {gpus:g}"
        )
    return capacity


class Actor:
    """A worker as a Ray actor."""

    def __init__(self, ray: Any, resolved: ResolvedPlan, resources: dict[str, float]) -> None:
        self.ray = ray
        self.actor = ray.remote(**resources)(Worker).remote(resolved, time())
        self.future: Any = None

    def submit(self, job: Job) -> None:
        self.future = self.actor.run.remote(job)

    def finished(self) -> FinishedRun | None:
        try:
            done: FinishedRun = self.ray.get(self.future)
        except self.ray.exceptions.RayActorError:
            return None
        return done

    def stop(self) -> None:
        self.ray.kill(self.actor)


def wait_for_workers(busy: list[WorkerHandle]) -> list[tuple[WorkerHandle, FinishedRun | None]]:
    workers = {worker.future: worker for worker in busy if isinstance(worker, Actor)}
    ray = next(iter(workers.values())).ray
    ready, _ = ray.wait(list(workers), num_returns=1)
    return [(workers[future], workers[future].finished()) for future in ready]
