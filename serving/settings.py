"""Which model to serve, where, and within which limits: the environment first, then the file that a Bento carries."""

import os
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import cast

import vitrail
from vitrail.errors import UsageError
from vitrail.runtime import Provider
from vitrail.serving.pictures_in import MAX_PICTURES

MODEL_VARIABLE = "VITRAIL_MODEL"
PROVIDER_VARIABLE = "VITRAIL_PROVIDER"
DEADLINE_VARIABLE = "VITRAIL_DEADLINE"
QUEUE_VARIABLE = "VITRAIL_QUEUE"
WAIT_VARIABLE = "VITRAIL_WAIT"
DEADLINE = 30.0
QUEUE = 256
WAIT = 0.25  # longer lines do not answer more, only later
PACKED_MODEL = "model.onnx"


@dataclass(frozen=True)
class Limits:
    """How long a picture may take, and how many may wait: each field is set by the variable VITRAIL_FIELD."""

    deadline: float = DEADLINE
    wait: float = WAIT
    queue: int = QUEUE


def limits() -> Limits:
    """All limits of the environment: `vitrail serve` checks them by this before the server starts, which uses them."""
    return Limits(deadline(), wait(), queue())


def model_path() -> Path:
    """The file named by VITRAIL_MODEL, else the one that lies beside the package in a Bento."""
    named = os.environ.get(MODEL_VARIABLE)
    if named:
        return Path(named)
    packed = Path(vitrail.__file__).parents[1] / PACKED_MODEL
    if packed.is_file():
        return packed
    raise UsageError(f"no model to serve: set {MODEL_VARIABLE} to a model.onnx written by `vitrail export`")


def provider() -> Provider:
    """VITRAIL_PROVIDER as it is; the classifier says so where it knows no such provider."""
    return cast(Provider, os.environ.get(PROVIDER_VARIABLE) or "auto")


def deadline() -> float:
    """VITRAIL_DEADLINE: seconds after which a picture that was sent is worth no answer any more."""
    return seconds_of(DEADLINE_VARIABLE, DEADLINE)


def wait() -> float:
    """VITRAIL_WAIT: seconds that the line may take; whoever comes when it would take longer is refused."""
    return seconds_of(WAIT_VARIABLE, WAIT)


def seconds_of(variable: str, otherwise: float) -> float:
    text = os.environ.get(variable) or str(otherwise)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not (isfinite(seconds) and seconds > 0):
        raise UsageError(f"{variable} is {text!r}; it must be a number of seconds above 0")
    return seconds


def queue() -> int:
    """VITRAIL_QUEUE: how many pictures may wait; at least as many as one request may have."""
    text = os.environ.get(QUEUE_VARIABLE) or str(QUEUE)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= MAX_PICTURES):
        raise UsageError(f"{QUEUE_VARIABLE} is {text!r}; it must be a whole number, at least {MAX_PICTURES}")
    return int(text)
