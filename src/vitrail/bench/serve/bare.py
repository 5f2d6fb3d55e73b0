"""The ceiling: the bare onnxruntime session with the same decoding, in a process of its own without a server.

Reads seconds to compute from each line of stdin, and writes a line of JSON for each.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter, process_time
from typing import IO

import numpy as np

from vitrail.errors import VitrailError
from vitrail.model_file.classifier import Classifier
from vitrail.runtime.providers import usable_cores

NAME = "bare onnxruntime session"
BATCHES = (1, 2, 4, 8, 16, 32)
TRIAL = 0.5  # seconds that each batch size is tried for


@dataclass(frozen=True)
class Turn:
    """Images computed, and the time for that."""

    batch: int
    images: int
    seconds: float
    cpu: float


class Bare:
    """Decodes the next batch in threads while this one runs, so that all cores are busy."""

    def __init__(self, model: Path, images: list[bytes]) -> None:
        self.model = Classifier(model, "cpu")
        self.decoders = ThreadPoolExecutor(usable_cores())
        self.images = cycle(images)

    def compute(self, batch: int, seconds: float) -> Turn:
        upcoming = self.decode(batch)
        begin, cpu, done = perf_counter(), process_time(), 0
        while perf_counter() - begin < seconds:
            canvases = np.stack(list(upcoming))  # [batch, size, size, 3]
            upcoming = self.decode(batch)
            self.model.session.run(["probabilities"], {"image": canvases})
            done += batch
        return Turn(batch, done, perf_counter() - begin, process_time() - cpu)

    def decode(self, batch: int) -> "Iterator[np.ndarray]":
        return self.decoders.map(self.model.fit, list(islice(self.images, batch)))

    def best_batch(self) -> int:
        """The size with the most images a second."""
        turns = [self.compute(batch, TRIAL) for batch in BATCHES]
        return max(turns, key=lambda turn: turn.images / turn.seconds).batch


@contextmanager
def session_process(model: Path, images: Sequence[Path]) -> "Iterator[BareProcess]":
    command = [sys.executable, "-m", "vitrail.bench.serve.bare", str(model), *map(str, images)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # like every server
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield BareProcess(process.stdin, process.stdout)
        process.stdin.close()


@dataclass(frozen=True)
class BareProcess:
    """The pipes to that process."""

    requests: IO[str]
    responses: IO[str]

    def compute(self, seconds: float) -> Turn:
        self.requests.write(f"{seconds}\n")
        self.requests.flush()
        line = self.responses.readline()
        if not line:
            raise VitrailError("the process with the bare session ended")
        return Turn(**json.loads(line))


def main(model: str, *images: str) -> None:
    bare = Bare(Path(model), [Path(each).read_bytes() for each in images])
    batch = bare.best_batch()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(asdict(bare.compute(batch, float(line)))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
