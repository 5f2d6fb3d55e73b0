"""Who takes part: servers that are installed, start, and answer as the model file does."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitrail.bench.serve.calling import message, write_messages
from vitrail.bench.serve.servers import OURS, Prediction, Running, Server, started
from vitrail.errors import ParityError, UsageError, VitrailError
from vitrail.model_file.classifier import Classifier

BOUND = 1e-4  # of a probability: a batch of another size rounds otherwise


@dataclass(frozen=True)
class Missing:
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
class Field:
    """What every server is measured with: one model file, one set of uploads, a folder for all that arises."""

    model: Path
    uploads: list[bytes]
    peers: Path
    folder: Path


@contextmanager
def entered(servers: Sequence[Server], field: Field) -> Iterator[tuple[list[Entrant], list[Missing]]]:
    """All servers that can take part, started; of those that cannot, the reasons. Without ours there is no bench."""
    entrants: list[Entrant] = []
    absent: list[Missing] = []
    expected = expected_predictions(field)
    with ExitStack() as stack:
        for server in servers:
            try:
                entrants.append(stack.enter_context(entered_one(server, field, expected)))
            except VitrailError as fault:
                if server.name == OURS:
                    raise
                absent.append(Missing(server.name, str(fault)))
        yield entrants, absent


@contextmanager
def entered_one(server: Server, field: Field, expected: Sequence[Prediction]) -> Iterator[Entrant]:
    if not server.python(field.peers).is_file():
        raise VitrailError(f"not installed at {field.peers}: run `make peers`")
    folder = field.folder / slug(server.name)
    with started(server, field.model, field.peers, folder) as running:
        for upload, answer in zip(field.uploads, expected, strict=True):
            require_same(server.name, running.predict(upload), answer)
        requests = [message(server.path, *server.request(upload)) for upload in field.uploads]
        yield Entrant(running, write_messages(requests, folder / "messages"))


def slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def expected_predictions(field: Field) -> list[Prediction]:
    """What the file itself says of each upload: all classes."""
    model = Classifier(field.model, "cpu")
    if model.card.input.resize != "squash":
        raise UsageError(f"peers' servers squash images; this model wants them by '{model.card.input.resize}'")
    canvases = (model.fit(upload) for upload in field.uploads)
    rows = (model.predict(canvas[None]).probabilities[0] for canvas in canvases)
    return [dict(enumerate(map(float, row))) for row in rows]


def require_same(name: str, found: Prediction, expected: Prediction) -> None:
    """A server that answers otherwise computes something else, and its times say nothing."""
    if not found:
        raise ParityError(f"{name} answers with no label")
    error = max(abs(probability - expected.get(index, 0.0)) for index, probability in found.items())
    least = min(found.values())
    passed_over = max((each for index, each in expected.items() if index not in found), default=0.0)
    if error > BOUND or passed_over > least + BOUND:
        raise ParityError(f"{name} gives other labels than the file: its probabilities differ by {error:.2e}")
