"""Workers that read images: threads for few, processes for many, as Python alone takes most of a small image's time."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread

from vitrail.errors import DataError

MANY = 4096  # images, whose reading takes longer than starting processes


@contextmanager
def readers(count: int) -> Iterator[Executor]:
    """One worker for each core; at the end, or at Ctrl-C, what they have not begun is dropped."""
    cores = len(os.sched_getaffinity(0))
    pool: Executor = (
        ThreadPoolExecutor(cores)
        if count < MANY
        else ProcessPoolExecutor(cores, mp_context=get_context("spawn"), initializer=prepare_worker)
    )
    try:
        yield pool
    except BrokenProcessPool as fault:
        raise DataError("a process that read images was killed, perhaps for lack of memory") from fault
    finally:
        pool.shutdown(cancel_futures=True)


def prepare_worker() -> None:
    """Ctrl-C is for the parent, which no worker outlives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
