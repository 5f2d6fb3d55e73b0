"""The card of a model file: classes, input rule, provenance, measured accuracy."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from vitrail.images.canvas import InputRule
from vitrail.model_file.typed_json import Json, read_card, schema
from vitrail.tasks.intervals import Estimate, Share
from vitrail.tasks.task import TaskName

METADATA_KEY = "vitrail"
FORMAT: Literal[1] = 1


@dataclass(frozen=True)
class Dataset:
    """The images that the model was trained, validated and tested on: enough to identify them, not to rebuild them.

    `images` and `draw` say which subset of train and val was used, if it was one.
    """

    name: str
    fingerprint: Annotated[str, "SHA-256 of the contents of the whole set, as it was when the model was trained"]
    train: Annotated[int, "number of training images"]
    val: Annotated[int, "number of validation images"]
    test: Annotated[int, "number of test images"]
    seed: Annotated[int, "of the split"]
    images: Annotated[int | None, "size of the subset; null if the whole set was used"] = None
    draw: Annotated[int, "number of the subset among those of its size"] = 0


@dataclass(frozen=True)
class Parity:
    """Differences between the file and the network on test images; values count in `units`."""

    images: int
    max_logit_error: float
    mean_logit_error: float
    logit_sd: Annotated[float, "standard deviation of all logits, to compare the errors with"]
    flips: Annotated[int, "images whose most probable label differs"]
    resized_max_logit_error: Annotated[float | None, "of images that the graph resizes; null where it resizes none"]


@dataclass(frozen=True)
class WholeImageParity:
    """What changes where the graph resizes whole images instead of `images.fit`."""

    images: int
    flips: Annotated[int, "images whose label changes"]
    max_probability_difference: Annotated[float | None, "null for regression"]
    max_value_difference: Annotated[float | None, "in `units`; null where there are probabilities"] = None


@dataclass(frozen=True)
class Calibration:
    """The temperature fitted on validation images, and its effect on the calibration error of test images."""

    temperature: Annotated[float, "by which logits are divided in the file"]
    images: Annotated[int, "number of validation images"]
    error_before: float
    error_after: float


@dataclass(frozen=True)
class Abstention:
    """The probability below which a prediction is "none of these", and its effect on test images.

    95 % of correctly classified validation images reach the threshold.
    """

    threshold: float
    coverage: Annotated[Share, "share of test images that reach the threshold"]
    selective_accuracy: Annotated[Share, "accuracy on those"]


PrecisionKind = Literal["fp32", "fp16", "int8", "int8-dynamic"]


@dataclass(frozen=True)
class Precision:
    """A reduced precision, compared with float32 on test images and on one machine."""

    kind: PrecisionKind
    bytes: Annotated[int, "of the file"]
    accuracy: Share
    loss: Annotated[
        float, "share of test images that only float32 classifies correctly, less those that only this one does"
    ]
    loss_bound: Annotated[float, "upper bound, one-sided, 95 %"]
    batch_difference: Annotated[float, "of a logit, between an image alone and in a batch"]
    speed: Annotated[dict[str, float], "times as fast as float32, by batch size"]
    verdict: str


@dataclass(frozen=True)
class InOpenVINO:
    """The file in OpenVINO, with bfloat16 in place of floats, compared with onnxruntime on test images."""

    version: str
    processor: str
    accuracy: Share
    loss: Annotated[
        float, "share of test images that only onnxruntime classifies correctly, less those that only OpenVINO does"
    ]
    loss_bound: Annotated[float, "upper bound, one-sided, 95 %"]
    flips: Annotated[int, "number of test images with another label"]
    flip_margin: Annotated[float, "the most that onnxruntime's two best probabilities differ by, among these images"]
    probability_difference: Annotated[float, "the largest"]
    speed: Annotated[dict[str, float], "times as fast as onnxruntime with this file, by batch size"]
    bounds: Annotated[dict[str, float], "of the loss, the share of flips, and the flip margin"]
    verdict: Annotated[str, "'sound', or why a server with provider auto does not choose it"]


@dataclass(frozen=True)
class Golden:
    """Expected outputs for the golden images of `recipe`, on any machine."""

    recipe: str
    logits: Annotated[tuple[tuple[float, ...], ...], "of each golden image; values for regression"]
    embedding_lengths: Annotated[tuple[float, ...], "Euclidean norm of each golden image's embedding"]
    tolerance: Annotated[dict[str, float], "by execution provider"]


@dataclass(frozen=True)
class Card:
    """The metadata of a `model.onnx`, stored in the file as JSON.

    Readers ignore members that they do not know.
    """

    classes: Annotated[tuple[str, ...], "in the order of the outputs; names of the values for regression"]
    input: InputRule
    architecture: Annotated[dict[str, Any], "class and arguments of the network"]
    parameters: int
    flops: Annotated[int, "of one image"]
    dataset: Dataset
    seed: Annotated[int, "of the training run"]
    test_accuracy: Annotated[Share | None, "null for regression"]
    parity: Parity
    whole: Annotated[WholeImageParity | None, "null where the graph resizes none"]
    calibration: Annotated[Calibration | None, "null where there are no probabilities"]
    abstention: Annotated[Abstention | None, "null except for classification"]
    precision: PrecisionKind
    precisions: Annotated[tuple[Precision, ...], "all that were compared"]
    averaged_weights: Annotated[bool, "whether the weights are averages over training steps"]
    golden: Golden
    versions: Annotated[dict[str, str], "of the packages that wrote the file"]
    created: Annotated[str, "ISO 8601"]
    task: TaskName
    measures: Annotated[tuple[Estimate, ...], "on test images, beside their accuracy"] = ()
    units: Annotated[tuple[float, ...], "of each value, its standard deviation on training images; for regression"] = ()
    openvino: Annotated[InOpenVINO | None, "null where it was not compared"] = None
    format: Literal[1] = FORMAT

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """Read a card back; a card of another format or with missing members is refused."""
        return read_card(cls, text, "the model's card")


def file_of(path: Path) -> Path:
    """The model file itself, or the one in a folder that `vitrail build` wrote."""
    return path / "model.onnx" if path.is_dir() else path


def card_schema() -> Json:
    """The JSON Schema that docs/card-1.schema.json publishes."""
    return schema(Card, f"Card of a vitrail model file, format {FORMAT}")
