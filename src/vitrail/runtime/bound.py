"""A session that computes canvases from memory of its own, on the device: a batch is copied beside the one before."""

import ctypes
import weakref
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime as ort

Canvases = NDArray[np.uint8]  # [n, size, size, 3]
Table = NDArray[np.float32]
Device = Literal["cpu", "cuda"]

BUCKETS = (1, 2, 4, 8, 16, 32)  # sizes of batches: few, as each needs a plan and memory on a GPU
AT_ONCE = 2  # batches of a size: one is copied while the other is computed
COPIERS = 8  # threads that copy at the same time
CAPTURED = "gpu_graph_id"  # of a run: the captured graph that it repeats
UNCAPTURED = -1
NEAR = 1e-2  # of an output's deviation: the same kernels on the same images; stale ones differ by more
LIBRARIES = ("libcudart.so.13", "libcudart.so.12")  # onnxruntime has loaded one of them


def bucket(count: int) -> int:
    """The smallest bucket that holds `count`."""
    return BUCKETS[bisect_left(BUCKETS, count)]


class BoundGraph:
    """A session bound to memory in which its batches lie, for each bucket apart; used from any number of threads.

    A thread takes buffers, fills them, and copies them to the device while the batch of another is computed. Batches
    are computed one after the other: captured graphs of CUDA must be.
    """

    def __init__(
        self, session: "ort.InferenceSession", size: int, outputs: Sequence[str], device: Device, *, captures: bool
    ) -> None:
        """With `captures`, the session was opened to capture graphs: one for each of the buffers."""
        self.session, self.outputs, self.device, self.captures = session, tuple(outputs), device, captures
        self.canvas = (size, size, 3)
        self.free: dict[int, SimpleQueue[Buffers]] = {}
        self.preparing, self.computing = Lock(), Lock()
        self.copying = Semaphore(COPIERS)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[Table]:
        """Like `run` of onnxruntime's session, for canvases; more than the largest bucket in several batches."""
        images, most = inputs["image"], BUCKETS[-1]
        batches = [self.run_parts([images[start : start + most]]) for start in range(0, len(images), most)]
        return [np.concatenate(tables) for tables in zip(*batches, strict=True)]

    def run_parts(self, parts: Sequence[Canvases]) -> list[Table]:
        """All parts as one batch; they are copied once on the host, to where the device reads them."""
        count = sum(map(len, parts))
        with self.buffers(bucket(count)) as buffers:
            with self.copying:
                buffers.fill(parts)
            with self.computing:
                self.session.run_with_iobinding(buffers.binding, buffers.options)
            with self.copying:
                return [table[:count] for table in buffers.results()]

    @contextmanager
    def buffers(self, size: int) -> "Iterator[Buffers]":
        """Of this size, used by no other thread meanwhile."""
        with self.preparing:
            if size not in self.free:
                with self.alone():
                    self.free[size] = self.prepared(size)
        buffers = self.free[size].get()
        try:
            yield buffers
        finally:
            self.free[size].put(buffers)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no other thread copies or computes: CUDA would refuse to capture."""
        for _ in range(COPIERS):
            self.copying.acquire()
        try:
            with self.computing:
                yield
        finally:
            self.copying.release(COPIERS)

    def prepared(self, size: int) -> "SimpleQueue[Buffers]":
        """Buffers that have computed batches of this size: no request waits for a plan, or for a graph's capture."""
        noise = np.random.default_rng(0)
        batches = [noise.integers(0, 256, (size, *self.canvas), np.uint8) for _ in range(2)]
        expected = [self.session.run(self.outputs, {"image": batch}, run_options(UNCAPTURED)) for batch in batches]
        shapes = {name: table.shape for name, table in zip(self.outputs, expected[0], strict=True)}
        queue: SimpleQueue[Buffers] = SimpleQueue()
        for number in range(AT_ONCE):
            graph = AT_ONCE * BUCKETS.index(size) + number if self.captures else UNCAPTURED
            buffers = Buffers(self.session, (size, *self.canvas), shapes, self.device, graph)
            for batch, tables in zip(batches, expected, strict=True):
                buffers.fill([batch])
                self.session.run_with_iobinding(buffers.binding, buffers.options)
                if not all(map(is_near, buffers.results(), tables)):
                    raise ModelError(f"a batch of {size} has other results from memory that stays on the device")
            queue.put(buffers)
        return queue


class Buffers:
    """Memory for one batch, on the host and on the device, and the binding of a session to it."""

    def __init__(
        self,
        session: "ort.InferenceSession",
        shape: tuple[int, ...],
        outputs: Mapping[str, tuple[int, ...]],
        device: Device,
        graph: int,
    ) -> None:
        from onnxruntime import OrtValue

        self.staging = np.zeros(shape, np.uint8)
        if device == "cuda":
            lock_pages(self.staging)
        self.input = OrtValue.ortvalue_from_numpy(self.staging, device, 0)
        self.outputs = [
            OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0) for shape in outputs.values()
        ]
        self.options = run_options(graph)
        self.binding = session.io_binding()
        self.binding.bind_ortvalue_input("image", self.input)
        for name, output in zip(outputs, self.outputs, strict=True):
            self.binding.bind_ortvalue_output(name, output)

    def fill(self, parts: Sequence[Canvases]) -> None:
        """Place the parts one after the other, and copy them to the device; what follows them is of older batches."""
        count = sum(map(len, parts))
        np.concatenate(parts, out=self.staging[:count])
        self.input.update_inplace(self.staging)

    def results(self) -> list[Table]:
        """Copies."""
        return [np.array(output.numpy()) for output in self.outputs]


def run_options(graph: int) -> "ort.RunOptions":
    from onnxruntime import RunOptions

    options = RunOptions()
    options.add_run_config_entry(CAPTURED, str(graph))
    return options


def is_near(actual: Table, expected: Table) -> bool:
    return bool(np.abs(actual - expected).max() <= NEAR * max(float(expected.std()), float(np.abs(expected).max())))


def lock_pages(memory: NDArray[Any]) -> bool:
    """Keep the pages of this memory in place while it exists, so that the device reads them itself."""
    for name in LIBRARIES:
        with suppress(OSError):
            cuda = ctypes.CDLL(name)
            address = ctypes.c_void_p(memory.ctypes.data)
            if cuda.cudaHostRegister(address, ctypes.c_size_t(memory.nbytes), ctypes.c_uint(0)) == 0:
                weakref.finalize(memory, cuda.cudaHostUnregister, address)
                return True
    return False
