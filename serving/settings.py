"""Which model to serve, where, and within which limits: the environment first, then the file that a Bento carries."""

import os
import re
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import cast

import vitrail
from vitrail.errors import UsageError
from vitrail.runtime.providers import Provider
from vitrail.serving.http.request_images import MAX_IMAGES

MODEL_VARIABLE = "VITRAIL_MODEL"
PROVIDER_VARIABLE = "VITRAIL_PROVIDER"
DEADLINE_VARIABLE = "VITRAIL_DEADLINE"
QUEUE_VARIABLE = "VITRAIL_QUEUE"
WAIT_VARIABLE = "VITRAIL_WAIT"
HOSTS_VARIABLE = "VITRAIL_ALLOW_HOST"
ORIGINS_VARIABLE = "VITRAIL_ALLOW_ORIGIN"
CONNECTIONS_VARIABLE = "VITRAIL_CONNECTIONS"
DECODE_MEMORY_VARIABLE = "VITRAIL_DECODE_MEMORY"
DEADLINE = 30.0
QUEUE = 256
CONNECTIONS = 1000
WAIT = 0.25  # longer lines do not answer more, only later
DECODE_MEMORY = 320  # megabytes: an RGB image of 50 megapixels as it is decoded from PNG takes 200
LEAST_DECODE_MEMORY = 16
MEGABYTE = 1_000_000
PACKED_MODEL = "model.onnx"
HOST_PATTERN = r"\*|(\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"  # without a port: whichever it is, it is ours
ORIGIN_PATTERN = r"\*|null|[a-z][a-z0-9+.-]*://[^/\s,]+"


@dataclass(frozen=True)
class Settings:
    """Within which limits the server answers, and whom: each field is set by the variable VITRAIL_FIELD."""

    deadline: float = DEADLINE
    wait: float = WAIT
    queue: int = QUEUE
    connections: int = CONNECTIONS
    decode_memory: int = DECODE_MEMORY * MEGABYTE
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()


def read() -> Settings:
    """All settings of the environment; `vitrail serve` checks them by this before it starts the server."""
    return Settings(deadline(), wait(), queue(), connections(), decode_memory(), allowed_hosts(), allowed_origins())


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
    """VITRAIL_DEADLINE: seconds after which an image that was sent is worth no answer any more."""
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
    """VITRAIL_QUEUE: how many images may wait; at least as many as one request may have."""
    return count_of(QUEUE_VARIABLE, QUEUE, MAX_IMAGES)


def connections() -> int:
    """VITRAIL_CONNECTIONS: how many connections may be open at once; those over it are refused."""
    return count_of(CONNECTIONS_VARIABLE, CONNECTIONS, 1)


def count_of(variable: str, otherwise: int, least: int, unit: str = "number") -> int:
    text = os.environ.get(variable) or str(otherwise)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise UsageError(f"{variable} is {text!r}; it must be a whole {unit}, at least {least}")
    return int(text)


def allowed_hosts() -> tuple[str, ...]:
    """VITRAIL_ALLOW_HOST: names to answer to beside those of the loopback interface, with commas between them."""
    return names_of(HOSTS_VARIABLE, HOST_PATTERN, "a list of names such as api.example.com, *.example.com or *")


def allowed_origins() -> tuple[str, ...]:
    """VITRAIL_ALLOW_ORIGIN: the sites whose pages may call this server, with commas between them."""
    return names_of(ORIGINS_VARIABLE, ORIGIN_PATTERN, "a list of origins such as https://www.example.com, or *")


def names_of(variable: str, pattern: str, form: str) -> tuple[str, ...]:
    text = os.environ.get(variable, "")
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not all(re.fullmatch(pattern, name) for name in names):
        raise UsageError(f"{variable} is {text!r}; it must be {form}, with commas between them")
    return names


def decode_memory() -> int:
    """VITRAIL_DECODE_MEMORY, in megabytes: what all images may hold together while they are decoded; here in bytes."""
    return count_of(DECODE_MEMORY_VARIABLE, DECODE_MEMORY, LEAST_DECODE_MEMORY, "number of megabytes") * MEGABYTE
