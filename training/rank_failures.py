"""Training in several processes: one that fails, is killed or hangs ends all of them, with one message."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from torch import distributed
from torch.distributed import distributed_c10d
from torch.distributed.distributed_c10d import PrefixStore, Store

from vitrail.errors import RankError, VitrailError, first_line
from vitrail.training.ranks import rank_here

# The longest wait for another process in a run; before its first step, while images are decoded, Lightning's holds.
TIMEOUT = timedelta(minutes=5)
PERIOD = 1.0  # seconds between two looks at the other processes
GRACE = 3.0  # seconds in which a process ends by itself, or shows that it is alive
AFTER_FIRST = 5.0  # seconds that others wait with an error that the first process may have too
REPORTED = "reported"  # key of the store: the rank that has printed why the training ends


class Launcher(_SubprocessScriptLauncher):
    """Lightning's, without its observer, which kills all processes once one has failed, and says nothing."""

    children: Sequence["subprocess.Popen[bytes]"] = ()

    def _call_children_scripts(self) -> None:
        super()._call_children_scripts()
        self.children, self.procs = self.procs, []

    def kill(self, signum: Any) -> None:
        for child in self.children:
            child.send_signal(signum)


class Together(Callback):
    """The processes of one training, as each of them sees the others.

    Each leaves its host and number in the store that the processes have in common. One that fails reserves the message
    there before its connections break, so that the others, whose next exchange then fails, end in silence.
    """

    def __init__(self, trainer: pl.Trainer) -> None:
        self.rank, self.world = trainer.global_rank, trainer.world_size
        strategy: Any = trainer.strategy
        self.store: Store | None = None
        self.timeout: timedelta = strategy._timeout
        self.over = Event()
        self.parent = os.getppid() if self.rank or distributed.is_torchelastic_launched() else None
        self.launcher: Launcher | None = None
        if isinstance(strategy.launcher, _SubprocessScriptLauncher):
            self.launcher = Launcher(strategy.cluster_environment, strategy.num_processes, strategy.num_nodes)
            strategy._launcher = self.launcher

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """When all processes have met."""
        if self.store is not None:
            return
        if self.timeout == distributed.default_pg_timeout:  # none that the configuration sets
            self.timeout = TIMEOUT
            set_timeout(TIMEOUT)
        store = PrefixStore("vitrail", distributed_c10d._get_default_store())
        store.set(f"process/{self.rank}", f"{os.getpid()} {socket.gethostname()}")
        self.store = store

    @property
    def children(self) -> Sequence["subprocess.Popen[bytes]"]:
        return () if self.launcher is None else self.launcher.children

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Whatever happens inside, all processes end, and one says why."""
        Thread(target=self.watch, daemon=True, name="watch over other ranks").start()
        try:
            yield
        except Exception as fault:
            if (last := self.last(fault)) is not fault:
                raise last from fault
            raise
        else:
            if any(code != 0 for code in [waited(child) for child in self.children]):
                raise SystemExit(1)
        finally:
            self.over.set()
            kill(self.children)

    def last(self, fault: Exception) -> BaseException:
        """What this process ends with."""
        if self.store is None:
            return of_rank(self.rank, fault)
        try:
            return self.agreed(self.store, fault)
        except distributed.DistError:  # the first process had the store
            return RankError(f"rank 0 ended without a message: {CAUSES}") if self.rank == 1 else SystemExit(1)

    def agreed(self, store: Store, fault: Exception) -> BaseException:
        """An error of its own, one about another process, or none, where another reports."""
        is_of_exchange = is_lost_connection(fault)
        if is_of_exchange:
            store.set(f"alive/{self.rank}", "")
        elif self.rank:
            sleep(PERIOD)  # the first may have the same error
        if not self.reports(store):
            return SystemExit(1)
        return self.diagnosis(store, fault) if is_of_exchange else with_rank(self.rank, fault)

    def reports(self, store: Store) -> bool:
        """Whether this process is the first to report."""
        return store.compare_set(REPORTED, "", str(self.rank)) == str(self.rank).encode()

    def diagnosis(self, store: Store, fault: Exception) -> VitrailError:
        """Which processes have ended, or answer no more."""
        others = [rank for rank in range(self.world) if rank != self.rank]
        until = monotonic() + GRACE
        while not (ended := [rank for rank in others if self.has_ended(store, rank)]) and monotonic() < until:
            sleep(PERIOD / 10)
        if ended:
            return RankError(f"{self.all_named(store, ended)} ended without a message: {CAUSES}")
        if silent := [rank for rank in others if not store.check([f"alive/{rank}"])]:
            seconds = f"{self.timeout.total_seconds():.0f} seconds"
            return RankError(
                f"{self.all_named(store, silent)} did not answer for {seconds}: it hangs, or its machine is cut off"
            )
        return RankError(f"the connection between the processes is lost: {first_line(fault)}")

    def has_ended(self, store: Store, rank: int) -> bool:
        """As far as can be seen from here: on this machine."""
        pid, host = self.process(store, rank)
        return host == socket.gethostname() and not is_running(pid)

    def process(self, store: Store, rank: int) -> tuple[int, str]:
        pid, host = store.get(f"process/{rank}").decode().split(" ", 1)
        return int(pid), host

    def all_named(self, store: Store, ranks: Sequence[int]) -> str:
        return " and ".join(self.named(store, rank) for rank in ranks)

    def named(self, store: Store, rank: int) -> str:
        pid, host = self.process(store, rank)
        return f"rank {rank} (process {pid} on {host})"

    def watch(self) -> None:
        """Ends this process where another has failed and this one does not notice, in a step or an exchange."""
        while not self.over.wait(PERIOD):
            if self.parent is not None and os.getppid() != self.parent:
                end()
            if failed := [child for child in self.children if child.poll()]:
                if not self.over.wait(GRACE):
                    self.end_without(failed)
            elif self.is_reported() and not self.over.wait(GRACE):
                kill(self.children)
                end()

    def is_reported(self) -> bool:
        try:
            return self.store is not None and self.store.check([REPORTED])
        except distributed.DistError:
            return True

    def end_without(self, failed: Sequence["subprocess.Popen[bytes]"]) -> None:
        """After children whose end breaks no exchange; those that failed by themselves have printed why."""
        for child in failed:
            if child.returncode < 0:
                name = signal.Signals(-child.returncode).name
                print(f"vitrail: process {child.pid} of this run was ended by {name}: {CAUSES}", file=sys.stderr)
        kill(self.children)
        end()


CAUSES = "it may have been killed, as when memory runs out"


def with_rank(rank: int, fault: Exception) -> Exception:
    """An error of one process; other exceptions keep their traceback."""
    if not rank:
        return fault
    if isinstance(fault, VitrailError):
        return RankError(f"rank {rank}: {fault}", fault.exit_code)
    fault.add_note(f"in rank {rank}")
    return fault


def of_rank(rank: int, fault: Exception) -> Exception:
    """Before the processes have met, all may have the same error: then the first prints it, and its end ends them."""
    if rank:
        sleep(AFTER_FIRST)
    return with_rank(rank, fault)


@contextmanager
def first_alone() -> Iterator[None]:
    """What is wrong with the options or the images is said by the first process, unless it is another's fault alone."""
    try:
        yield
    except RankError:
        raise
    except VitrailError as fault:
        if (last := of_rank(rank_here(), fault)) is not fault:
            raise last from fault
        raise


def is_lost_connection(fault: BaseException) -> bool:
    """Whether an exchange with other processes has failed; gloo has no class for it."""
    return isinstance(fault, distributed.DistError) or (isinstance(fault, RuntimeError) and "gloo" in str(fault))


def is_running(pid: int) -> bool:
    """On this machine; one that has ended may still have to be reaped."""
    if not Path("/proc/self/stat").exists():
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    except OSError:
        return False


def set_timeout(timeout: timedelta) -> None:
    """Of exchanges in the group of all processes."""
    public = getattr(distributed, "set_timeout", None)  # since torch 2.15
    (public or distributed_c10d._set_pg_timeout)(timeout)


def waited(child: "subprocess.Popen[bytes]") -> int | None:
    """The exit code, at the end of a run; none where the process does not end."""
    try:
        return child.wait(TIMEOUT.total_seconds())
    except subprocess.TimeoutExpired:
        return None


def kill(children: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Let them end by themselves, and kill those that do not."""
    until = monotonic() + GRACE
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, until - monotonic()))
        child.kill()
        child.wait()


def end() -> None:
    """At once: the main thread may wait for a process that has ended."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(1)
