"""Trains in the processes of a Ray cluster: python fit.py PROCESSES OPTIONS_OF_VITRAIL_FIT.

    RAY_ADDRESS=head:6379 python examples/ray/fit.py 2 --config digits-vit --run /shared/runs/digits

Each process has one device, and is for Lightning what the process of a machine of its own is. The folders of images and
of the run are on a disk that all machines share. Without RAY_ADDRESS, Ray starts on this machine.
"""

import os
import socket
import sys

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy


@ray.remote(max_restarts=0)
class Process:
    """One rank of a training."""

    def address(self) -> tuple[str, int]:
        """Of the first process, where the others meet it."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def fit(self, rank: int, world: int, address: tuple[str, int], options: list[str]) -> int:
        """Run `vitrail fit`, which must find its rank before it imports anything."""
        os.environ |= environment(rank, address)
        from vitrail.cli import main

        return main(["fit", *options, "--trainer.devices", "1", "--trainer.num_nodes", str(world)])


def environment(rank: int, address: tuple[str, int]) -> dict[str, str]:
    """What Lightning reads in place of starting processes of its own."""
    host, port = address
    return {
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
        "NODE_RANK": str(rank),
        "LOCAL_RANK": "0",
        "RANK": str(rank),
    }


def run(world: int, options: list[str]) -> int:
    """The exit code of a training in so many processes; once one fails, all end."""
    needs = {"CPU": 1, "GPU": 1} if ray.cluster_resources().get("GPU", 0) >= world else {"CPU": 1}
    group = placement_group([needs] * world)
    ray.get(group.ready())
    together = PlacementGroupSchedulingStrategy(group)
    processes = [
        Process.options(num_cpus=1, num_gpus=needs.get("GPU", 0), scheduling_strategy=together).remote()
        for _ in range(world)
    ]
    try:
        address = ray.get(processes[0].address.remote())
        waiting = [process.fit.remote(rank, world, address, options) for rank, process in enumerate(processes)]
        while waiting:
            done, waiting = ray.wait(waiting)
            if code := ray.get(done[0]):
                return int(code)
    except ray.exceptions.RayActorError as fault:
        print(f"a process has ended: {fault}".splitlines()[0], file=sys.stderr)
        return 1
    finally:
        for process in processes:
            ray.kill(process)
    return 0


if __name__ == "__main__":
    ray.init(os.environ.get("RAY_ADDRESS", "local"))
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
