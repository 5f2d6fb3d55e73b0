"""The card of a model file: classes, input rule, provenance, measured accuracy."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar, get_args

from vitrail.errors import ModelError
from vitrail.images.canvas import InputRule
from vitrail.tasks.intervals import Estimate, Share
from vitrail.tasks.task import TaskName

METADATA_KEY = "vitrail"
FORMAT = 1


@dataclass(frozen=True)
class Dataset:
    """The images that the model was trained, validated and tested on: enough to know them again, not to rebuild them.

    `images` and `draw` say which subset of train and val was used, if it was one.
    """

    name: str
    fingerprint: str  # of the contents of the whole set, as it was when the model was trained
    train: int
    val: int
    test: int
    seed: int  # of the split
    images: int | None = None
    draw: int = 0


@dataclass(frozen=True)
class Parity:
    """Differences between the file and the network on test images; values count in `units`."""

    images: int
    max_logit_error: float
    mean_logit_error: float
    logit_sd: float
    flips: int
    resized_max_logit_error: float


@dataclass(frozen=True)
class WholeImageParity:
    """What changes where the graph resizes whole images instead of `images.fit`."""

    images: int
    flips: int
    max_probability_difference: float | None
    max_value_difference: float | None = None  # in `units`


@dataclass(frozen=True)
class Calibration:
    """The temperature fitted on validation images, and its effect on the calibration error of test images."""

    temperature: float
    images: int
    error_before: float
    error_after: float


@dataclass(frozen=True)
class Abstention:
    """The probability below which a prediction is "none of these", and its effect on test images.

    95 % of correctly classified validation images reach the threshold.
    """

    threshold: float
    answered: Share
    accuracy_answered: Share


PrecisionKind = Literal["fp32", "fp16", "int8", "int8-dynamic"]


@dataclass(frozen=True)
class Precision:
    """A reduced precision, compared with float32 on test images and on one machine."""

    kind: PrecisionKind
    bytes: int
    accuracy: Share
    loss: float  # share of test images that only float32 classifies correctly, less those that only this one does
    loss_bound: float  # upper bound, one-sided, 95 %
    batch_difference: float  # of a logit, between an image alone and in a batch
    speed: dict[str, float]  # times as fast as float32, by batch size
    verdict: str


@dataclass(frozen=True)
class Golden:
    """Expected outputs for the golden images of `recipe`, on any machine."""

    recipe: str
    logits: tuple[tuple[float, ...], ...]
    embedding_lengths: tuple[float, ...]
    tolerance: dict[str, float]


@dataclass(frozen=True)
class Card:
    """The metadata of a `model.onnx`, stored in the file as JSON."""

    classes: tuple[str, ...]
    input: InputRule
    architecture: dict[str, Any]
    parameters: int
    flops: int
    dataset: Dataset
    seed: int
    test_accuracy: Share | None  # none for regression
    parity: Parity
    whole: WholeImageParity
    calibration: Calibration | None  # none where there are no probabilities
    abstention: Abstention | None  # none but for one label an image
    precision: PrecisionKind
    precisions: tuple[Precision, ...]  # all that were compared
    averaged_weights: bool  # of training steps, in place of the last step's
    golden: Golden
    versions: dict[str, str]
    created: str
    task: TaskName = "classification"
    measures: tuple[Estimate, ...] = ()  # on test images, beside their accuracy
    units: tuple[float, ...] = ()  # each value's deviation on training images, in which errors are counted
    format: int = field(default=FORMAT)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Read a card back; a card of another format or with missing parts is refused."""
        try:
            parts = json.loads(text)
            if parts["format"] != FORMAT:
                raise ModelError(
                    f"the card has format {parts['format']}, this vitrail reads format {FORMAT}: "
                    "export the model again, or install the vitrail that wrote it"
                )
            if parts.get("task", "classification") not in get_args(TaskName):
                raise ModelError(
                    f"the model's task is '{parts['task']}', which this vitrail does not know: install a newer vitrail"
                )
            golden = parts.pop("golden")
            return cls(
                classes=tuple(parts.pop("classes")),
                input=InputRule(**parts.pop("input")),
                dataset=Dataset(**parts.pop("dataset")),
                test_accuracy=none_or(Share, parts.pop("test_accuracy")),
                parity=Parity(**parts.pop("parity")),
                whole=WholeImageParity(**parts.pop("whole")),
                calibration=none_or(Calibration, parts.pop("calibration")),
                abstention=none_or(abstention_of, parts.pop("abstention")),
                precisions=tuple(
                    Precision(**{**compared, "accuracy": Share(**compared["accuracy"])})
                    for compared in parts.pop("precisions")
                ),
                golden=Golden(
                    recipe=golden["recipe"],
                    logits=tuple(tuple(row) for row in golden["logits"]),
                    embedding_lengths=tuple(golden["embedding_lengths"]),
                    tolerance=golden["tolerance"],
                ),
                measures=tuple(Estimate(**measure) for measure in parts.pop("measures", ())),
                units=tuple(parts.pop("units", ())),
                **parts,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ModelError(f"the model's card cannot be read ({fault}): export the model again") from fault


Part = TypeVar("Part")


def none_or(read: Callable[..., Part], part: dict[str, Any] | None) -> Part | None:
    """A part that some tasks do not have."""
    return None if part is None else read(**part)


def abstention_of(threshold: float, answered: dict[str, Any], accuracy_answered: dict[str, Any]) -> Abstention:
    return Abstention(threshold, Share(**answered), Share(**accuracy_answered))
