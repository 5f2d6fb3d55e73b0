"""A model.onnx in memory: classify, embed, verify (onnxruntime; no torch)."""

import ctypes
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from math import ceil
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vitrail import images
from vitrail.card import METADATA_KEY, Card
from vitrail.errors import ModelError, ProviderError, UsageError
from vitrail.golden import RECIPE, golden_pictures

Provider = Literal["auto", "cpu", "cuda"]
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class Label:
    """One class that a picture may belong to, and how probable the model holds it."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True)
class Answers:
    """What the graph says of a batch: one row a picture."""

    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class GoldenCheck:
    """How far this machine's answers to the golden pictures lie from those in the card."""

    worst: float
    allowed: float
    picture: int

    @property
    def passed(self) -> bool:
        return self.worst <= self.allowed


class Classifier:
    """A model file that is ready to answer; its card says what the answers mean."""

    def __init__(self, path: str | Path, provider: Provider = "auto", threads: int | None = None) -> None:
        require_one_onnxruntime()
        import onnxruntime as ort

        self.path = Path(path)
        if not self.path.is_file():
            raise ModelError(f"there is no model file at {self.path}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = ort.InferenceSession(str(self.path), options, providers=choose_providers(provider))
        except load_faults() as fault:
            raise ModelError(f"{self.path} is not an ONNX file that onnxruntime can load") from fault
        self.provider: str = self.session.get_providers()[0]
        if provider != "auto" and self.provider != PROVIDERS[provider]:
            raise ProviderError(
                f"provider '{provider}' was asked for, but onnxruntime fell back to {self.provider}: "
                "check the GPU's driver and CUDA libraries, or use --provider auto"
            )
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise ModelError(f"{self.path} has no vitrail card: it was not written by `vitrail export`")
        self.card = Card.from_json(text)

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def fit(self, data: bytes) -> NDArray[np.uint8]:
        """An encoded picture as this model's canvas, uint8 [size, size, 3]."""
        return images.fit(data, self.card.input)

    def answer(self, pictures: NDArray[np.uint8]) -> Answers:
        """Run the graph on uint8 [N, H, W, 3]; a batch of canvases is the fast and the measured way."""
        return Answers(*self.session.run(["probabilities", "logits", "embedding"], {"image": pictures}))

    def classify(self, data: bytes, top_k: int = 5) -> list[Label]:
        """The `top_k` most probable labels of one encoded picture."""
        return self.labels(self.answer(self.fit(data)[None]).probabilities[0], top_k)

    def labels(self, probabilities: NDArray[np.float32], top_k: int) -> list[Label]:
        """One row of probabilities as its `top_k` labels, the most probable first."""
        count = len(self.card.classes)
        if not 1 <= top_k <= count:
            raise UsageError(f"top_k must lie between 1 and {count}, the number of classes; it is {top_k}")
        order = np.argsort(-probabilities, kind="stable")[:top_k]
        return [Label(self.card.classes[i], int(i), float(probabilities[i])) for i in order]

    def check_golden(self) -> GoldenCheck:
        """Answer the golden pictures again, and compare with what the card expects."""
        golden = self.card.golden
        if golden.recipe != RECIPE:
            raise ModelError(f"golden recipe '{golden.recipe}' is unknown here; this vitrail draws '{RECIPE}'")
        pictures = golden_pictures(self.card.input.size)
        expected = np.array(golden.logits, np.float32)
        found = np.concatenate([self.answer(picture[None]).logits for picture in pictures])
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise ModelError(f"{self.path} answers the golden pictures with numbers that cannot be compared")
        errors = np.abs(found - expected).max(axis=1)
        scale = max(1.0, float(expected.std()))
        relative = golden.tolerance.get(self.provider, max(golden.tolerance.values()))
        return GoldenCheck(float(errors.max()), relative * scale, int(errors.argmax()))


def require_one_onnxruntime() -> None:
    """The CPU and the GPU wheel overwrite each other's files: exactly one may be installed."""
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if is_installed(name)]
    if not found:
        raise ProviderError("onnxruntime is not installed: pip install 'vitrail[cpu]' or 'vitrail[gpu]'")
    if len(found) == 2:
        raise ProviderError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: "
            "pip uninstall both, then install one (vitrail[cpu] or vitrail[gpu])"
        )


def is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def choose_providers(provider: Provider) -> list[str]:
    """onnxruntime's names for what was asked; `auto` takes the GPU where the wheel and the driver have one."""
    import onnxruntime as ort

    if provider not in get_args(Provider):
        raise UsageError(f"provider '{provider}' is unknown; known are {', '.join(get_args(Provider))}")
    available = ort.get_available_providers()
    cuda, cpu = PROVIDERS["cuda"], PROVIDERS["cpu"]
    has_gpu = cuda in available and has_nvidia_driver()
    if provider == "cuda" and cuda not in available:
        raise ProviderError("provider 'cuda' was asked for, but this onnxruntime has none: pip install 'vitrail[gpu]'")
    if provider == "cuda" and not has_nvidia_driver():
        raise ProviderError("provider 'cuda' was asked for, but this machine has no NVIDIA driver")
    if provider == "cpu" or (provider == "auto" and not has_gpu):
        return [cpu]
    ort.preload_dlls()
    return [cuda, cpu]


def has_nvidia_driver() -> bool:
    """Whether CUDA can work at all; asking onnxruntime instead would load a GB of libraries to hear no."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def load_faults() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a file that it cannot load; the classes share no parent of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (state.Fail, state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument, state.NoModel,
            state.NotImplemented, state.RuntimeException)  # fmt: skip


def usable_cores() -> int:
    """Cores this process may use: the scheduler's set, cut by the container's quota."""
    cores = len(os.sched_getaffinity(0))
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.is_file():
        limit, period = quota.read_text().split()
        if limit != "max":
            cores = min(cores, ceil(int(limit) / int(period)))
    return max(1, cores)


def read_pictures(paths: Sequence[Path]) -> list[bytes]:
    """The bytes of each file, or one error that names the first that is not there."""
    for path in paths:
        if not path.is_file():
            raise UsageError(f"there is no picture at {path}")
    return [path.read_bytes() for path in paths]
