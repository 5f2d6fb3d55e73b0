"""vitrail serve: serve a model file over HTTP."""

import errno
import os
import socket
import sys
from argparse import SUPPRESS
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal

from vitrail.commands import require_packages
from vitrail.errors import UsageError, VitrailError
from vitrail.parsers import config_parser, read

ABOUT = """Serve a model file written by `vitrail export` over HTTP, until Ctrl-C.

  vitrail serve model.onnx
  vitrail serve model.onnx --port 8080 --provider cpu
  vitrail serve --config serve.yaml --port 8080

The file of --config has the options' names for its keys (model, host, port, provider, …); where an option
is given twice, the later one on the command line counts. The page is at http://127.0.0.1:3000/, the API
reference at /docs, and as OpenAPI at /docs.json.

A server that listens on loopback accepts only loopback names in the Host header, so that no web page can reach
it under a name of its own; behind a proxy, allow the name that it passes on: --allow-host api.example.com.
On other addresses any name is accepted, unless --allow-host lists some. Pages of other sites may call the server
only if their site is allowed: --allow-origin https://example.com. Both options take several values, separated by
commas, and * for any.

With OpenVINO installed (pip install 'vitrail[openvino]'), auto on a CPU computes there in bfloat16, if `vitrail export`
found that the test images keep their labels, and it is faster on this machine; the log and GET /v1/model say so.
--provider cpu is onnxruntime, openvino the same numbers in OpenVINO, openvino-bf16 bfloat16 in any case.

With --provider tensorrt (pip install 'vitrail[gpu,tensorrt]') the first start builds an engine for this GPU,
which takes minutes; it is kept in ~/.cache/vitrail. A provider that is named and missing is an error.

--processes 4 answers with four processes, and computes in another: for small models or a GPU, where all would wait
for one event loop. auto measures how many are best, in 3 s. By default one process does it all.

--gpus all, or a number, computes on several GPUs, each in a process of its own. --provider cuda-tf32 rounds products to
TF32, which auto does only where the file's accuracy with bfloat16 was measured to be sound, and it is faster.

--grpc-port 3001 also serves the Open Inference Protocol over gRPC (pip install 'vitrail[grpc]'), in plain text and for
trusted networks: it has no check of names.

VITRAIL_WAIT is the longest queueing time in seconds (0.25; beyond it requests get 503), VITRAIL_QUEUE the number of
images in the queue (256), VITRAIL_DEADLINE the deadline of a request in seconds (30; then it is 504),
VITRAIL_CONNECTIONS the number of open connections (1000; further ones get 503 or are closed), VITRAIL_CONCURRENCY the
number of requests for images in flight (no limit; further ones get 503), VITRAIL_DECODE_MEMORY the memory of images
being decoded in megabytes (320; an image that alone needs more is 413). With VITRAIL_JPEGS=nvimgcodec, NVIDIA's decoder
takes JPEGs where it gives nearly the same canvases (pip install 'vitrail[nvimgcodec]')."""

SERVICE = "vitrail.serving.service:Vitrail"
GRACE = 10  # seconds for requests still running after the gate's own timeout


def main(args: Sequence[str]) -> int:
    require_packages("bentoml")
    options = read_options(args)
    if "model" not in options:
        raise UsageError("the model file is missing: vitrail serve model.onnx (see `vitrail serve --help`)")

    from vitrail.model_file.classifier import Classifier
    from vitrail.serving import settings

    for variable, given in (
        (settings.HOSTS_VARIABLE, options.allow_host),
        (settings.ORIGINS_VARIABLE, options.allow_origin),
        (settings.PROCESSES_VARIABLE, options.processes),
        (settings.GPUS_VARIABLE, options.gpus),
    ):
        if given is not None:
            os.environ[variable] = ",".join(given) if isinstance(given, list) else str(given)
    settings.read()
    settings.gpus(options.provider)
    Classifier(options.model, options.provider)  # fails here with one line instead of later in a log
    address = free_address(options.host, options.port)
    if options.grpc_port is not None:
        os.environ[settings.GRPC_VARIABLE] = grpc_address(options)
    return serve(os.path.abspath(options.model), options.provider, address, options.port)


def read_options(args: Sequence[str]) -> Any:
    from vitrail.runtime.providers import Provider

    parser = config_parser("serve", ABOUT)
    parser.add_argument("model", nargs="?", default=SUPPRESS, help="a model.onnx written by `vitrail export`")
    parser.add_argument("--host", type=str, default="127.0.0.1", help="where to listen; 0.0.0.0 is everywhere")
    parser.add_argument("--port", type=int, default=3000, help="the port")
    parser.add_argument("--processes", type=int | Literal["auto"] | None, help="how many answer; auto measures")
    parser.add_argument("--gpus", type=int | Literal["all"] | None, help="how many compute, each in its own process")
    parser.add_argument("--grpc-port", type=int | None, help="a port for gRPC beside HTTP")
    parser.add_argument(
        "--provider", type=Provider, default="auto", help="where to run it; auto takes CUDA if it can, then OpenVINO"
    )
    parser.add_argument("--allow-host", type=str | list[str] | None, help="names to accept in Host beside loopback's")
    parser.add_argument("--allow-origin", type=str | list[str] | None, help="sites whose pages may call it (CORS)")
    return read(parser, args)


def free_address(host: str, port: int) -> str:
    """The numeric address of the host, once it is sure that the port can be listened on."""
    if not 1 <= port <= 65535:
        raise UsageError(f"a port lies between 1 and 65535; {port} does not")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address, family=family).close()
    except OSError as fault:
        if fault.errno == errno.EADDRINUSE:
            raise VitrailError(f"port {port} of {host} is in use: choose another with --port") from fault
        raise VitrailError(f"cannot listen on {host} port {port}: {str(fault.strerror).partition(' (')[0]}") from fault
    return str(address[0])


def grpc_address(options: Any) -> str:
    """Where gRPC listens: on the host of HTTP, once it is sure that it can."""
    if find_spec("grpc") is None:
        raise UsageError("--grpc-port needs pip install 'vitrail[grpc]'")
    if options.grpc_port == options.port:
        raise UsageError(f"HTTP and gRPC need a port each; both are {options.port}")
    host = free_address(options.host, options.grpc_port)
    return f"[{host}]:{options.grpc_port}" if ":" in host else f"{host}:{options.grpc_port}"


def serve(model: str, provider: str, address: str, port: int) -> int:
    """Become the server: this process executes BentoML's own command, which then receives its signals."""
    from vitrail.serving.settings import MODEL_VARIABLE, PROVIDER_VARIABLE

    os.environ.update({MODEL_VARIABLE: model, PROVIDER_VARIABLE: provider, "BENTOML_DO_NOT_TRACK": "True"})
    command = [sys.executable, "-m", "bentoml", "serve", SERVICE]
    command += ["--host", address, "--port", str(port), "--timeout-graceful-shutdown", str(GRACE)]
    sys.stdout.flush()
    os.execv(command[0], command)
