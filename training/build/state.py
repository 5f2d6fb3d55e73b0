"""How far a build is: its trained models and the time it took, kept in its folder so that the same command goes on."""

import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vitrail.atomic import write_atomically
from vitrail.errors import UsageError
from vitrail.tasks.intervals import Share, wilson

Stage = Literal["linear probe", "fine-tuned", "from scratch"]
FOLDER = ".build"
FILE = "state.json"


@dataclass(frozen=True)
class Trained:
    """One trained model, and its accuracy on the validation images."""

    candidate: str
    family: str
    stage: Stage
    checkpoint: str  # in the folder of the build
    hits: int
    total: int
    seconds: float
    steps: int = 0
    curve: tuple[tuple[int, float], ...] = ()  # steps and validation accuracy
    flips: bool = True  # whether images turned left to right are recognised as well
    is_finished: bool = True
    is_resumed: bool = False
    trainer: dict[str, Any] = field(default_factory=dict)  # its options, as in a recipe

    @property
    def key(self) -> str:
        """Of this model and this state of it."""
        return f"{self.candidate}, {self.stage}, {self.steps} steps, {self.hits} of {self.total}"

    @property
    def accuracy(self) -> Share:
        return wilson(self.hits, self.total)

    def __str__(self) -> str:
        return f"{self.candidate}, {self.stage}"


@dataclass(frozen=True)
class State:
    """All that a build has done."""

    decisive: dict[str, Any]
    trained: tuple[Trained, ...] = ()
    exported: str = ""  # the key of the model in model.onnx
    export_seconds: float = 0.0
    seconds: float = 0.0  # of all calls so far
    is_complete: bool = False

    @property
    def best(self) -> Trained:
        """The first of those with the highest validation accuracy: probes come first, and simple models win ties."""
        return max(self.trained, key=lambda one: one.hits)

    def of(self, candidate: str, stage: Stage) -> Trained | None:
        return next((one for one in self.trained if (one.candidate, one.stage) == (candidate, stage)), None)

    def training_of(self, candidate: str) -> Trained | None:
        return self.of(candidate, "fine-tuned") or self.of(candidate, "from scratch")

    def allows_flips(self, candidate: str) -> bool:
        """Unless its probe recognises turned images worse."""
        probed = self.of(candidate, "linear probe")
        return probed is None or probed.flips

    def with_trained(self, one: Trained) -> "State":
        others = tuple(each for each in self.trained if (each.candidate, each.stage) != (one.candidate, one.stage))
        return replace(self, trained=(*others, one))


class Workshop:
    """The hidden folder of a build in progress: state, checkpoints and features."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / FOLDER

    def open(self, decisive: dict[str, Any]) -> State:
        """The state of a build that goes on, or a new one; any other folder is refused.

        A build that ended before its first network is a new one.
        """
        file = self.folder / FILE
        if file.is_file():
            state = read_state(file)
            if state.decisive != decisive:
                changed = [name for name in decisive if state.decisive.get(name) != decisive[name]]
                raise UsageError(
                    f"{self.output} holds a build with another {' and '.join(changed)}: give another --output, "
                    "or remove the folder"
                )
            if state.is_complete:
                raise UsageError(f"{self.output} holds a finished model: give another --output, or remove the folder")
            return state
        if self.output.exists() and (not self.output.is_dir() or set(self.output.iterdir()) - {self.folder}):
            raise UsageError(f"{self.output} exists and is no build in progress: give another --output, or remove it")
        return State(decisive)

    def save(self, state: State) -> None:
        write_atomically(self.folder / FILE, json.dumps(asdict(state), indent=2).encode())

    def clear(self) -> None:
        """Remove checkpoints and features; the state stays, so that the folder is known to be finished."""
        for entry in self.folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)


def read_state(file: Path) -> State:
    plain = json.loads(file.read_text(encoding="utf-8"))
    trained = tuple(
        Trained(**{**one, "curve": tuple((step, value) for step, value in one["curve"])}) for one in plain["trained"]
    )
    return State(**{**plain, "trained": trained})
