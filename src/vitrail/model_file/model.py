"""A model file in Python: images in any form in, typed results out (onnxruntime; no torch)."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail import images
from vitrail.errors import UsageError, VitrailError
from vitrail.images.patches import batch_of
from vitrail.model_file.card import Card
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import Label
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import Explanation
from vitrail.runtime.providers import Provider, usable_cores

if TYPE_CHECKING:
    import onnxruntime as ort

BATCH = 32  # images that are in memory at once; TensorRT's engine takes no more

# An image: a path, the bytes of a file, a PIL image, or uint8 [H, W], [H, W, 3] or [H, W, 4].
OneImage = str | os.PathLike[str] | bytes | bytearray | Image.Image
Array = NDArray[np.uint8]  # one image, or several: [N, H, W, 3]; the result's type depends on which
ImageLike = OneImage | Array
Canvas = NDArray[np.uint8]
Canvases = NDArray[np.uint8]  # [N, size, size, 3]
R = TypeVar("R")

ONE = (str, os.PathLike, bytes, bytearray, Image.Image, np.ndarray)


@dataclass(frozen=True)
class Box(Label):
    """A label and where it is: left, top, right and bottom, as shares of the image's width and height."""

    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Prediction:
    """The result for one image; fields that the task does not have are empty.

    `labels` are ranked, the most probable first; `values` are in the units of the training data; `label_map` and
    `probability_map` [h, w] have one label for each patch, and each of `value_maps` one number; `sequence` has labels
    in their order; `boxes` have labels, the surest first. `none_of_these` says whether the most probable label is too
    unsure for the card's threshold, and is None where the card has none. `payload` is the same as JSON types, as
    `POST /v1/classify` returns it.
    """

    labels: tuple[Label, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    label_map: tuple[tuple[str, ...], ...] = ()
    probability_map: tuple[tuple[float, ...], ...] = ()
    value_maps: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    sequence: tuple[Label, ...] = ()
    boxes: tuple[Box, ...] = ()
    none_of_these: bool | None = None
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)
    text: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """The most probable label."""
        return self.best.label

    @property
    def probability(self) -> float:
        """Of the most probable label, or of the whole sequence."""
        whole: float | None = self.payload.get("probability")
        return self.best.probability if whole is None else whole

    @property
    def best(self) -> Label:
        if not self.labels:
            raise UsageError(
                "this prediction has no labels: see its `values`, `label_map`, `value_maps`, `sequence` or `boxes`"
            )
        return self.labels[0]

    def __str__(self) -> str:
        return self.text


class Model:
    """A model file that is ready to use, from any number of threads; `load` opens it.

    Every method takes one image and returns its result, a list (or an array [N, H, W, 3]) and returns a list in the
    same order, or an iterator and returns an iterator, which holds a batch of images at a time. Paths and bytes are
    read exactly as training and the server read them. An image that does not decode raises `ImageError`; anything else,
    and a closed model, raises `UsageError`.
    """

    def __init__(self, path: str | os.PathLike[str], provider: Provider = "auto", threads: int | None = None) -> None:
        self._classifier = Classifier(Path(path), provider, threads)
        self._decoders = ThreadPoolExecutor(usable_cores(), "vitrail-decode")
        self._closed = False
        self._provider, self._threads = provider, threads

    @property
    def card(self) -> Card:
        """The card of the file: classes, input rule, measured accuracy, versions."""
        return self._classifier.card

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.card.classes)

    @property
    def session(self) -> "ort.InferenceSession":
        """onnxruntime's own session, for whatever is not offered here; in OpenVINO it computes what is no canvas."""
        return self._classifier.session

    @property
    def provider(self) -> str:
        """Where it runs: the name of onnxruntime's execution provider, OpenVINO, or OpenVINO bf16."""
        return self._classifier.provider

    @overload
    def classify(self, image: OneImage, top_k: int | None = None) -> Prediction: ...
    @overload
    def classify(self, image: Array, top_k: int | None = None) -> Any: ...
    @overload
    def classify(self, image: list[Any] | tuple[Any, ...], top_k: int | None = None) -> list[Prediction]: ...
    @overload
    def classify(self, image: Iterator[ImageLike], top_k: int | None = None) -> Iterator[Prediction]: ...
    def classify(self, image: Any, top_k: int | None = None) -> Any:
        """What each image shows: labels or values, of it or of each patch, a sequence, or boxes, as the task is.

        `top_k` is how many labels a prediction has; 5 by default, or all of them where an image may have several.

        Examples:
            >>> prediction = model.classify("three.png")
            >>> prediction.label
            '3'
            >>> print(prediction)
            3 ...
            >>> for each in model.classify(["three.png", "five.png"], top_k=1):
            ...     print(each)
            3 ...
            5 ...
        """
        return self._each(image, self._predictor(top_k))

    def try_classify(
        self, images_: Iterable[ImageLike], top_k: int | None = None
    ) -> Iterator[Prediction | VitrailError]:
        """Like `classify` of an iterator, but an image that cannot be read gives its error instead of raising it.

        Examples:
            >>> for result in model.try_classify(["three.png", "nowhere.png"]):
            ...     print(result if isinstance(result, Exception) else result.label)
            3
            cannot be read: No such file or directory
        """
        if isinstance(images_, ONE) and not is_several(images_):
            raise UsageError("try_classify takes several images: put one into a list, or use classify")
        return (result for _, result in self._in_batches(images_, self._predictor(top_k)))

    @overload
    def embed(self, image: OneImage) -> NDArray[np.float32]: ...
    @overload
    def embed(self, image: Array) -> Any: ...
    @overload
    def embed(self, image: list[Any] | tuple[Any, ...]) -> list[NDArray[np.float32]]: ...
    @overload
    def embed(self, image: Iterator[ImageLike]) -> Iterator[NDArray[np.float32]]: ...
    def embed(self, image: Any) -> Any:
        """The vector that the network's last layer reads, float32 [D].

        Examples:
            >>> vector = model.embed("three.png")
            >>> vector.shape, vector.dtype
            ((64,), dtype('float32'))
        """
        return self._each(image, lambda canvases: list(self._classifier.predict(canvases).embedding))

    @overload
    def explain(self, image: OneImage, label: str | None = None) -> Explanation: ...
    @overload
    def explain(self, image: Array, label: str | None = None) -> Any: ...
    @overload
    def explain(self, image: list[Any] | tuple[Any, ...], label: str | None = None) -> list[Explanation]: ...
    @overload
    def explain(self, image: Iterator[ImageLike], label: str | None = None) -> Iterator[Explanation]: ...
    def explain(self, image: Any, label: str | None = None) -> Any:
        """Where in the image the evidence for a label lies; for the most probable one unless `label` is given.

        The file beside the model that `vitrail export --explain` writes is needed for it.

        Examples:
            >>> explanation = model.explain("three.png", label="8")
            >>> print(explanation)
            8: exact evidence on 4 × 4 cells, most at [..., ...]
            >>> explanation.evidence.shape
            (4, 4)
        """
        explainer, classes = self._explainer, self.classes
        if label is not None and label not in classes:
            raise UsageError(f"the model has no label '{label}'; its labels are {', '.join(classes)}")

        def explanations(canvases: Canvases) -> list[Explanation]:
            chosen = (
                self._classifier.predict(canvases).probabilities.argmax(axis=1).tolist()
                if label is None
                else [classes.index(label)] * len(canvases)
            )
            evidence = explainer.evidence(canvases)
            return [
                Explanation(classes[index], explainer.card.evidence.kind, one[index])
                for index, one in zip(chosen, evidence, strict=True)
            ]

        return self._each(image, explanations)

    def close(self) -> None:
        """End the decoding threads; further use raises `UsageError`."""
        self._closed = True
        self._decoders.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        card = self.card
        return f"<Model {self._classifier.path}: {card.task}, {len(card.classes)} classes, {self.provider}>"

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self._classifier, provider=self._provider, threads=self._threads)

    def _predictor(self, top_k: int | None) -> Callable[[Canvases], list[Prediction]]:
        classifier = self._classifier
        if top_k is not None and not classifier.task.ranks:
            raise UsageError(f"top_k is for labels of an image; this model's task is {self.card.task}")

        def predictions(canvases: Canvases) -> list[Prediction]:
            outputs = classifier.predict(canvases)
            return [self._prediction(outputs.row(index), top_k) for index in range(len(canvases))]

        return predictions

    def _prediction(self, row: Mapping[str, NDArray[np.float32]], top_k: int | None) -> Prediction:
        classifier = self._classifier
        payload = classifier.payload(row, top_k)
        dense = payload.get("grid", {"labels": (), "probabilities": ()})
        return Prediction(
            tuple(Label(**label) for label in payload.get("labels", ())),
            {value["name"]: value["value"] for value in payload.get("values", ())},
            tuple(map(tuple, dense["labels"])),
            tuple(map(tuple, dense["probabilities"])),
            {each["name"]: tuple(map(tuple, each["values"])) for each in payload.get("maps", ())},
            tuple(Label(**label) for label in payload.get("sequence", ())),
            tuple(Box(**{**box, "box": tuple(box["box"])}) for box in payload.get("boxes", ())),
            classifier.none_of_these(row["probabilities"]) if self.card.abstention is not None else None,
            payload,
            classifier.task.text(payload),
        )

    def _each(self, image: Any, of_batch: Callable[[Canvases], list[R]]) -> Any:
        self._refuse_closed()
        if isinstance(image, ONE) and not is_several(image):
            canvas = raised(image, self._canvas_or_error(image))
            (result,) = of_batch(canvas[None])
            return result
        results = (raised(*pair) for pair in self._in_batches(image, of_batch))
        return results if isinstance(image, Iterator) else list(results)

    def _in_batches(
        self, images_: Iterable[ImageLike], of_batch: Callable[[Canvases], list[R]]
    ) -> Iterator[tuple[ImageLike, R | VitrailError]]:
        """Each image with its result or its error."""
        if not isinstance(images_, Iterable):
            raise not_an_image(images_)
        size = self.card.input.size
        is_canvases = (
            not self.card.input.is_native and isinstance(images_, np.ndarray) and images_.shape[1:] == (size, size, 3)
        )
        prepared = map if is_canvases else self._decoders.map  # canvases are used as they are
        remaining = iter(images_)
        while batch := list(islice(remaining, BATCH)):
            self._refuse_closed()
            canvases = list(prepared(self._canvas_or_error, batch))
            good = [canvas for canvas in canvases if isinstance(canvas, np.ndarray)]
            results = iter(of_batch(batch_of(good)) if good else [])
            for image, canvas in zip(batch, canvases, strict=True):
                yield image, canvas if isinstance(canvas, VitrailError) else next(results)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise UsageError("this model is closed: load it again")

    def _canvas_or_error(self, image: ImageLike) -> Canvas | VitrailError:
        try:
            return self._canvas(image)
        except VitrailError as error:
            return error
        except OSError as error:
            return UsageError(f"cannot be read: {error.strerror}")

    def _canvas(self, image: ImageLike) -> Canvas:
        """One image as the uint8 canvas that the network is given."""
        if isinstance(image, str | os.PathLike):
            return self._classifier.fit(Path(image).read_bytes())
        if isinstance(image, bytes | bytearray):
            return self._classifier.fit(bytes(image))
        rule = self.card.input
        if isinstance(image, np.ndarray):
            if not rule.is_native and image.shape == (rule.size, rule.size, 3) and image.dtype == np.uint8:
                return image
            image = image_of(image)
        if isinstance(image, Image.Image):
            return images.to_canvas(images.decode_upright(image.copy()).pixels, rule)
        raise not_an_image(image)


def is_several(image: Any) -> bool:
    """Whether an array holds images, and not the rows of one."""
    return isinstance(image, np.ndarray) and image.ndim == 4


def not_an_image(given: object) -> UsageError:
    return UsageError(f"an image is a path, bytes, a PIL image or a uint8 array; this is {type(given).__name__}")


def raised(image: ImageLike, result: R | VitrailError) -> R:
    """The result; an error is raised, with the path of its image."""
    if not isinstance(result, VitrailError):
        return result
    if isinstance(image, str | os.PathLike):
        raise type(result)(f"{os.fspath(image)}: {result}") from result
    raise result


def image_of(array: NDArray[Any]) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise UsageError(
            "an array is uint8 [H, W], [H, W, 3] or [H, W, 4], 0 to 255, not normalised; "
            f"this is {array.dtype} {list(array.shape)}"
        )
    return Image.fromarray(array[..., 0] if array.ndim == 3 and channels == 1 else array)


def load(path: str | os.PathLike[str], provider: Provider = "auto", threads: int | None = None) -> Model:
    """Open a model file that `vitrail export` wrote.

    `provider` is where it runs: `auto` takes a GPU if onnxruntime can use one, else all cores, of which `threads` are
    used if it is given.

    Examples:
        >>> import vitrail
        >>> model = vitrail.load("model.onnx")
        >>> model.classes
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    return Model(path, provider, threads)
