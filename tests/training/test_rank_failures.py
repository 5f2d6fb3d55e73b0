"""Several processes: one that raises, is killed or hangs ends all of them, with one message and no process left."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import distributed
from torch.distributed import HashStore  # type: ignore[attr-defined]

from vitrail.errors import DataError, RankError, UsageError, VitrailError
from vitrail.training import rank_failures
from vitrail.training.rank_failures import Together, is_lost_connection, is_running, with_rank

BIN = Path(sys.executable).parent
FIT = [
    *("fit", "--config=digits-cnn", "--model.net=faulty_network.Faulty", "--data.images=200", "--data.batch_size=20"),
    *("--trainer.max_steps=20", "--trainer.val_check_interval=null", "--trainer.check_val_every_n_epoch=5"),
    *("--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.accelerator=cpu", "--run=run"),
]
VITRAIL = [str(BIN / "vitrail")]
TORCHRUN = [str(BIN / "torchrun"), "--nproc-per-node=2", "-m", "--", "vitrail"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).with_name("faulty_network.py"), tmp_path)
    return tmp_path


def ended(folder: Path, program: Sequence[str], *options: str) -> tuple[int, list[str]]:
    """The exit code and the project's own lines of a training; nothing of it is left then."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "VITRAIL_TEST": str(folder)}
    done = subprocess.run(
        [*program, *FIT, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert [path for path in Path("/proc").glob("[0-9]*/cwd") if resolved(path) == folder] == []
    lines = done.stderr.splitlines()
    assert program != VITRAIL or len(lines) == 1, done.stderr
    return done.returncode, [line for line in lines if line.startswith("vitrail: ")]


def resolved(link: Path) -> Path | None:
    try:
        return link.readlink()
    except OSError:  # of another user, or ended
        return None


def test_an_error_of_one_process_is_printed_once_and_ends_all(folder: Path) -> None:
    assert ended(folder, VITRAIL, "--model.net.how=raise") == (
        1,
        ["vitrail: rank 1: a part of the disk cannot be read"],
    )


@pytest.mark.long
@pytest.mark.parametrize("program", [VITRAIL, TORCHRUN])
@pytest.mark.parametrize(
    ("how", "where", "line"),
    [
        ("raise", 0, "vitrail: a part of the disk cannot be read"),
        ("raise", 1, "vitrail: rank 1: a part of the disk cannot be read"),
        ("hang", 0, "vitrail: rank 0 (process * on *) did not answer for 3 seconds: it hangs"),
        ("hang", 1, "vitrail: rank 1 (process * on *) did not answer for 3 seconds: it hangs"),
    ],
)
def test_a_process_that_raises_or_hangs_ends_all(
    program: list[str], how: str, where: int, line: str, folder: Path
) -> None:
    code, lines = ended(folder, program, f"--model.net.how={how}", f"--model.net.where={where}")
    assert code == 1
    assert [stripped(one).startswith(line) for one in lines] == [True]


@pytest.mark.long
@pytest.mark.parametrize(("where", "code"), [(0, -9), (1, 1)])
def test_a_process_that_is_killed_ends_all(where: int, code: int, folder: Path) -> None:
    given, lines = ended(folder, VITRAIL, "--model.net.how=kill", f"--model.net.where={where}")
    assert given == code
    assert len(lines) == 1
    assert f"rank {where} " in lines[0]
    assert "ended without a message: it may have been killed" in lines[0]


@pytest.mark.long
def test_torchrun_names_a_process_that_is_killed_and_none_is_left(folder: Path) -> None:
    """It ends the others at once, so that these may have no time for a message."""
    code, lines = ended(folder, TORCHRUN, "--model.net.how=kill")
    assert code == 1
    assert len(lines) <= 1


@pytest.mark.long
def test_wrong_options_are_refused_once(folder: Path) -> None:
    code, lines = ended(folder, TORCHRUN, "--data.path=nowhere")
    assert (code, len(lines)) == (1, 1)
    assert "nowhere" in lines[0]
    code, lines = ended(folder, TORCHRUN, "--trainer.devices=1", "--trainer.strategy=auto")
    assert (code, len(lines)) == (1, 1)
    assert "2 processes were started, and the trainer has 1" in lines[0]


def stripped(line: str) -> str:
    """Without the number and the host of a process."""
    before, _, after = line.partition("(process ")
    return f"{before}(process * on *){after.partition(')')[2]}" if after else line


def one_of(world: int, rank: int, store: Any) -> Together:
    strategy = SimpleNamespace(launcher=None, _timeout=timedelta(minutes=5))
    together = Together(SimpleNamespace(global_rank=rank, world_size=world, strategy=strategy))  # type: ignore[arg-type]
    together.store = store
    return together


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> HashStore:
    """Three processes: this one, one that has ended, and one elsewhere."""
    monkeypatch.setattr(rank_failures, "GRACE", 0.2)
    child = subprocess.Popen(["true"])
    child.wait()
    store = HashStore()
    for rank, (pid, host) in enumerate([(os.getpid(), socket.gethostname()), (child.pid, socket.gethostname())]):
        store.set(f"process/{rank}", f"{pid} {host}")
    store.set("process/2", "77 elsewhere")
    return store


LOST = RuntimeError("[gloo/transport/tcp/pair.cc:538] Connection closed by peer")


def test_the_process_that_has_ended_is_named(store: HashStore) -> None:
    last = one_of(3, 0, store).last(LOST)
    assert str(last).startswith("rank 1 (process ")
    assert "ended without a message" in str(last)


def test_the_process_that_does_not_answer_is_named(store: HashStore) -> None:
    store.set("process/1", f"{os.getpid()} {socket.gethostname()}")
    store.set("alive/1", "")
    last = one_of(3, 0, store).last(LOST)
    assert str(last).startswith("rank 2 (process 77 on elsewhere) did not answer for 300 seconds")


def test_only_the_first_reports(store: HashStore) -> None:
    first, second = one_of(3, 0, store), one_of(3, 1, store)
    fault = DataError("a damaged image")
    assert first.last(fault) is fault
    assert isinstance(second.last(LOST), SystemExit)
    assert isinstance(second.last(fault), SystemExit)


def test_an_error_names_its_rank_and_keeps_its_exit_code() -> None:
    fault = with_rank(3, UsageError("no such option"))
    assert isinstance(fault, RankError)
    assert (str(fault), fault.exit_code) == ("rank 3: no such option", UsageError.exit_code)
    assert with_rank(0, fault) is fault
    bug = with_rank(2, ValueError("of one's own network"))
    assert isinstance(bug, ValueError)
    assert bug.__notes__ == ["in rank 2"]


def test_which_errors_are_of_an_exchange() -> None:
    assert is_lost_connection(LOST)
    assert is_lost_connection(distributed.DistBackendError("NCCL error"))
    assert not is_lost_connection(RuntimeError("shapes do not match"))
    assert not is_lost_connection(VitrailError("gloo"))


def test_whether_a_process_is_running() -> None:
    assert is_running(os.getpid())
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(child.pid)  # not reaped yet
    child.wait()
    assert not is_running(child.pid)
