"""Which model to serve, and the server's limits: from the environment, or the model file packed in a Bento."""

import os
import re
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal, cast

import vitrail
from vitrail.errors import UsageError
from vitrail.model_file.card import Card
from vitrail.runtime.gpus import visible_gpus
from vitrail.runtime.providers import GPU_PROVIDERS, Provider, has_cuda_provider

MODEL_VARIABLE = "VITRAIL_MODEL"
PROVIDER_VARIABLE = "VITRAIL_PROVIDER"
DEADLINE_VARIABLE = "VITRAIL_DEADLINE"
CONCURRENCY_VARIABLE = "VITRAIL_CONCURRENCY"
QUEUE_VARIABLE = "VITRAIL_QUEUE"
WAIT_VARIABLE = "VITRAIL_WAIT"
HOSTS_VARIABLE = "VITRAIL_ALLOW_HOST"
ORIGINS_VARIABLE = "VITRAIL_ALLOW_ORIGIN"
GRPC_VARIABLE = "VITRAIL_GRPC"
CONNECTIONS_VARIABLE = "VITRAIL_CONNECTIONS"
PROCESSES_VARIABLE = "VITRAIL_PROCESSES"
GPUS_VARIABLE = "VITRAIL_GPUS"
JPEGS_VARIABLE = "VITRAIL_JPEGS"
DECODE_MEMORY_VARIABLE = "VITRAIL_DECODE_MEMORY"
DEADLINE = 30.0
QUEUE = 256
CONNECTIONS = 1000
MAX_IMAGES = 32  # of one request
MAX_PROCESSES = 64
MAX_GPUS = 16
WAIT = 0.25  # a longer queue adds latency, not throughput
DECODE_MEMORY = 320  # megabytes: an RGB image of 50 megapixels as it is decoded from PNG takes 200
MIN_DECODE_MEMORY = 16
MEGABYTE = 1_000_000
PACKED_MODEL = "model.onnx"
HOST_PATTERN = r"\*|(\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"  # without a port, which is not checked
GRPC_PATTERN = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}"
ORIGIN_PATTERN = r"\*|null|[a-z][a-z0-9+.-]*://[^/\s,]+"


@dataclass(frozen=True)
class Settings:
    """The server's limits and whom it serves; each field is set by the variable VITRAIL_FIELD."""

    deadline: float = DEADLINE
    wait: float = WAIT
    queue: int = QUEUE
    connections: int = CONNECTIONS
    decode_memory: int = DECODE_MEMORY * MEGABYTE
    concurrency: int | None = None
    grpc: str | None = None
    processes: int | Literal["auto"] = 1
    gpus: int = 1
    jpegs: Literal["pillow", "nvimgcodec"] = "pillow"
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()


def read() -> Settings:
    """All settings from the environment; `vitrail serve` calls this to check them before it starts the server."""
    return Settings(
        deadline=deadline(),
        wait=wait(),
        queue=queue(),
        connections=connections(),
        decode_memory=decode_memory(),
        concurrency=concurrency(),
        grpc=grpc_address(),
        processes=processes(),
        gpus=len(gpus()) or 1,
        jpegs=jpegs(),
        allow_host=allowed_hosts(),
        allow_origin=allowed_origins(),
    )


def model_path() -> Path:
    """The file named by VITRAIL_MODEL, else the one beside the package in a Bento."""
    path = os.environ.get(MODEL_VARIABLE)
    if path:
        return Path(path)
    packed_path = Path(vitrail.__file__).parents[1] / PACKED_MODEL
    if packed_path.is_file():
        return packed_path
    raise UsageError(f"no model to serve: set {MODEL_VARIABLE} to a model.onnx written by `vitrail export`")


def model_name(card: Card) -> str:
    """The data set and the architecture in lower-case letters, digits and hyphens: digits-vit, pets-resnet18."""
    architecture = card.architecture.get("init_args", {}).get("name") or card.architecture.get("class_path", "model")
    name = f"{card.dataset.name}-{architecture.rpartition('vitrail.models.')[2]}"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def provider() -> Provider:
    """VITRAIL_PROVIDER, unchecked: the classifier raises for an unknown provider."""
    return cast(Provider, os.environ.get(PROVIDER_VARIABLE) or "auto")


def deadline() -> float:
    """VITRAIL_DEADLINE: seconds after which a request is given up with 504."""
    return seconds_of(DEADLINE_VARIABLE, DEADLINE)


def wait() -> float:
    """VITRAIL_WAIT: the longest expected wait in the queue, in seconds; beyond it requests are refused."""
    return seconds_of(WAIT_VARIABLE, WAIT)


def seconds_of(variable: str, default: float) -> float:
    text = os.environ.get(variable) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not (isfinite(seconds) and seconds > 0):
        raise UsageError(f"{variable} is {text!r}; it must be a number of seconds above 0")
    return seconds


def queue() -> int:
    """VITRAIL_QUEUE: images that may wait; at least as many as a request may have."""
    return count_of(QUEUE_VARIABLE, QUEUE, MAX_IMAGES)


def concurrency() -> int | None:
    """VITRAIL_CONCURRENCY: requests for images that may be in flight at once; further ones are refused. No limit if
    it is not set.
    """
    return count_of(CONCURRENCY_VARIABLE, 0, 1) if os.environ.get(CONCURRENCY_VARIABLE) else None


def grpc_address() -> str | None:
    """VITRAIL_GRPC: HOST:PORT on which gRPC is served; none if it is not set."""
    address = os.environ.get(GRPC_VARIABLE) or None
    if address is not None and not re.fullmatch(GRPC_PATTERN, address):
        raise UsageError(f"{GRPC_VARIABLE} is {address!r}; it must be a HOST:PORT such as 127.0.0.1:3001")
    return address


def connections() -> int:
    """VITRAIL_CONNECTIONS: connections that may be open at once; further ones are refused."""
    return count_of(CONNECTIONS_VARIABLE, CONNECTIONS, 1)


def processes() -> int | Literal["auto"]:
    """VITRAIL_PROCESSES: how many processes answer requests; with more than one, another computes for them. `auto`
    measures what is best.
    """
    text = os.environ.get(PROCESSES_VARIABLE)
    return "auto" if text == "auto" else count_of(PROCESSES_VARIABLE, 1, 1, "number or auto", most=MAX_PROCESSES)


def gpus(chosen: Provider | None = None) -> list[str]:
    """VITRAIL_GPUS: how many GPUs compute, each in a process of its own, or `all` that CUDA_VISIBLE_DEVICES leaves;
    their names there. None of them where it is one, or not set: the model is where the provider says.
    """
    text = os.environ.get(GPUS_VARIABLE)
    if text != "all" and count_of(GPUS_VARIABLE, 1, 1, "number or all", most=MAX_GPUS) == 1:
        return []
    chosen = chosen or provider()
    if chosen not in ("auto", *GPU_PROVIDERS):
        raise UsageError(f"{GPUS_VARIABLE} is {text!r}, and the provider {chosen}, which uses none")
    visible = visible_gpus()
    if not visible or (text != "all" and int(text or 1) > len(visible)):
        raise UsageError(f"{GPUS_VARIABLE} is {text!r}, and this machine has {len(visible) or 'none'} to use")
    if not has_cuda_provider():
        raise UsageError(f"{GPUS_VARIABLE} is {text!r}, and this onnxruntime uses none: pip install 'vitrail[gpu]'")
    return visible if text == "all" else visible[: int(text or 1)]


def jpegs() -> Literal["pillow", "nvimgcodec"]:
    """VITRAIL_JPEGS: what decodes JPEGs, `pillow` or, on a GPU, `nvimgcodec`."""
    match os.environ.get(JPEGS_VARIABLE) or "pillow":
        case "pillow" | "nvimgcodec" as chosen:
            return chosen
        case other:
            raise UsageError(f"{JPEGS_VARIABLE} is {other!r}; it must be a decoder, pillow or nvimgcodec")


def count_of(variable: str, default: int, minimum: int, unit: str = "number", most: int = 999_999_999) -> int:
    text = os.environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and minimum <= int(text) <= most):
        limit = f"at least {minimum}" if most == 999_999_999 else f"from {minimum} to {most}"
        raise UsageError(f"{variable} is {text!r}; it must be a whole {unit}, {limit}")
    return int(text)


def allowed_hosts() -> tuple[str, ...]:
    """VITRAIL_ALLOW_HOST: allowed Host names besides the loopback ones, separated by commas."""
    return names_of(HOSTS_VARIABLE, HOST_PATTERN, "a list of names such as api.example.com, *.example.com or *")


def allowed_origins() -> tuple[str, ...]:
    """VITRAIL_ALLOW_ORIGIN: origins whose pages may call this server, separated by commas."""
    return names_of(ORIGINS_VARIABLE, ORIGIN_PATTERN, "a list of origins such as https://www.example.com, or *")


def names_of(variable: str, pattern: str, form: str) -> tuple[str, ...]:
    text = os.environ.get(variable, "")
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not all(re.fullmatch(pattern, name) for name in names):
        raise UsageError(f"{variable} is {text!r}; it must be {form}, separated by commas")
    return names


def decode_memory() -> int:
    """VITRAIL_DECODE_MEMORY, given in megabytes: the memory for decoding all images, in bytes."""
    return count_of(DECODE_MEMORY_VARIABLE, DECODE_MEMORY, MIN_DECODE_MEMORY, "number of megabytes") * MEGABYTE
