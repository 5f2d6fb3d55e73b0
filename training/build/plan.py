"""What is to be built: the images, where the model goes, the time it may take, and the weights it may start from."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitrail.data.check.leaks import Duplicates
from vitrail.errors import UsageError

VARIABLE = "VITRAIL_WEIGHTS"
LEAST_MINUTES = 0.5


@dataclass(frozen=True)
class BuildPlan:
    """The options of `vitrail build`.

    Args:
        path: images, as `--data.path` of `vitrail fit` takes them.
        output: the folder to write.
        minutes: of work; the model is finished within them, as far as its first version allows.
        weights: a folder of pretrained weights, each file called after its network in timm.
        offline: whether nothing may be downloaded.
        seed: of the split of unsplit images, and of training.
        duplicates: whether to refuse parts that share images, by content.
        corrupt: whether to refuse images that do not decode, or to leave them out.
    """

    path: str
    output: Path
    minutes: float = 30.0
    weights: Path | None = None
    offline: bool = False
    seed: int = 0
    duplicates: Duplicates = "refuse"
    corrupt: Literal["refuse", "skip"] = "refuse"

    def __post_init__(self) -> None:
        if not self.minutes >= LEAST_MINUTES:
            raise UsageError(f"--minutes is at least {LEAST_MINUTES}, not {self.minutes:g}: a first model takes longer")
        if self.weights is not None and not self.weights.is_dir():
            raise UsageError(f"there is no folder of weights at {self.weights}")

    @property
    def decisive(self) -> dict[str, Any]:
        """The options that decide the result beside the time: a build goes on only with the same ones."""
        names = ("path", "seed", "duplicates", "corrupt")
        return {name: getattr(self, name) for name in names} | {"weights": str(self.weights or "")}

    @property
    def data(self) -> dict[str, Any]:
        """The options that every candidate's data share."""
        return {"path": self.path, "seed": self.seed, "duplicates": self.duplicates, "corrupt": self.corrupt}


def default_output(path: str) -> Path:
    """A folder beside the current one's files, named after the images."""
    return Path(f"{Path(path).resolve().name}-model")


def weights_folder(given: Path | None) -> Path | None:
    """The folder that was given, else the one that the environment names."""
    variable = os.environ.get(VARIABLE)
    return given if given is not None or not variable else Path(variable)
