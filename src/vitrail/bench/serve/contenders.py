"""The servers that are measured: installed, started, and with the predictions of the model file."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitrail.bench.core.report import Absent
from vitrail.bench.serve.client import message, write_messages
from vitrail.bench.serve.servers import OURS, Prediction, Running, Server, started
from vitrail.errors import ParityError, UsageError, VitrailError
from vitrail.model_file.classifier import Classifier

BOUND = 1e-4  # of a probability: rounding depends on the batch size


@dataclass(frozen=True)
class Contender:
    """A running server, and the files of its requests."""

    running: Running
    messages: list[str]

    @property
    def name(self) -> str:
        return self.running.server.name


@dataclass(frozen=True)
class Setup:
    """What every server is measured with: one model file, one set of uploads, a folder for logs and files."""

    model: Path
    uploads: list[bytes]
    peers: Path
    folder: Path


@contextmanager
def running_contenders(servers: Sequence[Server], setup: Setup) -> Iterator[tuple[list[Contender], list[Absent]]]:
    """All servers that start, and the reasons of those that do not; ours must start."""
    contenders: list[Contender] = []
    absent: list[Absent] = []
    expected = expected_predictions(setup)
    with ExitStack() as stack:
        for server in servers:
            try:
                contenders.append(stack.enter_context(running_contender(server, setup, expected)))
            except VitrailError as fault:
                if server.name == OURS:
                    raise
                absent.append(Absent(server.name, str(fault)))
        yield contenders, absent


@contextmanager
def running_contender(server: Server, setup: Setup, expected: Sequence[Prediction]) -> Iterator[Contender]:
    if not server.python(setup.peers).is_file():
        raise VitrailError(f"not installed at {setup.peers}: run `make peers`")
    folder = setup.folder / slug(server.name)
    with started(server, setup.model, setup.peers, folder) as running:
        for upload, prediction in zip(setup.uploads, expected, strict=True):
            require_same_predictions(server.name, running.predict(upload), prediction)
        requests = [message(server.path, *server.request(upload)) for upload in setup.uploads]
        yield Contender(running, write_messages(requests, folder / "messages"))


def slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def expected_predictions(setup: Setup) -> list[Prediction]:
    """The file's own probabilities of all classes for each upload."""
    model = Classifier(setup.model, "cpu")
    if model.card.input.resize != "squash":
        raise UsageError(f"peers' servers squash images, but this model's resize rule is '{model.card.input.resize}'")
    canvases = (model.fit(upload) for upload in setup.uploads)
    rows = (model.predict(canvas[None]).probabilities[0] for canvas in canvases)
    return [dict(enumerate(map(float, row))) for row in rows]


def require_same_predictions(name: str, actual: Prediction, expected: Prediction) -> None:
    """Raises where a server computes something else, so that its times are not comparable."""
    if not actual:
        raise ParityError(f"{name} returns no label")
    error = max(abs(probability - expected.get(index, 0.0)) for index, probability in actual.items())
    lowest = min(actual.values())
    highest_omitted = max((each for index, each in expected.items() if index not in actual), default=0.0)
    if error > BOUND or highest_omitted > lowest + BOUND:
        raise ParityError(f"{name} gives other labels than the file: its probabilities differ by {error:.2e}")
