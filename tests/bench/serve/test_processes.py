"""Resources of a process tree, against known processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

from vitrail.bench.serve.processes import cpu_seconds, process_tree, resource_usage

CHILD = "import subprocess, sys; subprocess.run(['sleep', '60'], start_new_session=True)"


def wait_for_the_sleeper(root: int) -> list[int]:
    deadline = time.monotonic() + 30
    while not (len(tree := process_tree(root)) == 2 and name_of(tree[1]) == "sleep"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return tree


def name_of(process: int) -> str:
    return Path(f"/proc/{process}/comm").read_text().strip()


def test_tree_includes_descendants_in_other_sessions() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD]) as root:
        members = wait_for_the_sleeper(root.pid)
        try:
            assert members[0] == root.pid
            both, one = resource_usage(root.pid), resource_usage(members[1])
            assert both.processes == 2
            assert both.threads == 1 + one.threads
            assert both.memory > one.memory > 0
            assert both.files > one.files >= 3
        finally:
            os.kill(members[1], 9)


def test_cpu_seconds_match_process_time() -> None:
    before, own = cpu_seconds([os.getpid()]), time.process_time()
    while time.process_time() - own < 0.3:
        pass
    assert abs(cpu_seconds([os.getpid()]) - before - (time.process_time() - own)) < 0.05


def test_ended_process_uses_nothing() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert cpu_seconds([gone.pid]) == 0
    assert process_tree(gone.pid) == [gone.pid]
