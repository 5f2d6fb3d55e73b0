"""Who takes part: servers that are installed, start, and answer as the model file does."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitrail.bench.serve.client import message, write_messages
from vitrail.bench.serve.servers import OURS, Prediction, Running, Server, started
from vitrail.errors import ParityError, UsageError, VitrailError
from vitrail.model_file.classifier import Classifier

BOUND = 1e-4  # of a probability: a batch of another size rounds otherwise


@dataclass(frozen=True)
class Absent:
    """A server that could not take part, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Entrant:
    """A running server, and the files of the requests that it is sent."""

    running: Running
    messages: list[str]

    @property
    def name(self) -> str:
        return self.running.server.name


@dataclass(frozen=True)
class Setup:
    """What every server is measured with: one model file, one set of uploads, a folder for all that arises."""

    model: Path
    uploads: list[bytes]
    peers: Path
    folder: Path


@contextmanager
def running_contenders(servers: Sequence[Server], setup: Setup) -> Iterator[tuple[list[Entrant], list[Absent]]]:
    """All servers that can take part, started; of those that cannot, the reasons. Without ours there is no bench."""
    contenders: list[Entrant] = []
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
def running_contender(server: Server, setup: Setup, expected: Sequence[Prediction]) -> Iterator[Entrant]:
    if not server.python(setup.peers).is_file():
        raise VitrailError(f"not installed at {setup.peers}: run `make peers`")
    folder = setup.folder / slug(server.name)
    with started(server, setup.model, setup.peers, folder) as running:
        for upload, answer in zip(setup.uploads, expected, strict=True):
            require_same_predictions(server.name, running.predict(upload), answer)
        requests = [message(server.path, *server.request(upload)) for upload in setup.uploads]
        yield Entrant(running, write_messages(requests, folder / "messages"))


def slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def expected_predictions(setup: Setup) -> list[Prediction]:
    """What the file itself says of each upload: all classes."""
    model = Classifier(setup.model, "cpu")
    if model.card.input.resize != "squash":
        raise UsageError(f"peers' servers squash images; this model wants them by '{model.card.input.resize}'")
    canvases = (model.fit(upload) for upload in setup.uploads)
    rows = (model.predict(canvas[None]).probabilities[0] for canvas in canvases)
    return [dict(enumerate(map(float, row))) for row in rows]


def require_same_predictions(name: str, found: Prediction, expected: Prediction) -> None:
    """A server that answers otherwise computes something else, and its times say nothing."""
    if not found:
        raise ParityError(f"{name} answers with no label")
    error = max(abs(probability - expected.get(index, 0.0)) for index, probability in found.items())
    least = min(found.values())
    passed_over = max((each for index, each in expected.items() if index not in found), default=0.0)
    if error > BOUND or passed_over > least + BOUND:
        raise ParityError(f"{name} gives other labels than the file: its probabilities differ by {error:.2e}")
