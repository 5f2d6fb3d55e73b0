"""The command `vitrail`: dispatches to a subcommand, and turns errors into one line and an exit code."""

import os
import select
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from traceback import extract_tb
from typing import TextIO

from vitrail.errors import UsageError, VitrailError

VERBS = {
    "build": "from a folder of images to a verified model, within a time",
    "data": "check a set of images before anything is trained on it: corrupt files, duplicates, leaks",
    "fit": "train a ViT or a CNN from a YAML recipe",
    "pretrain": "train a ViT on images without labels, to start `fit` from",
    "validate": "measure a checkpoint on the validation images",
    "test": "measure a checkpoint on the test images: top-1, top-5, macro-F1, each class",
    "predict": "write a checkpoint's prediction for every test image into a table",
    "compare": "say which of several tested runs is better, and whether chance would do as well",
    "study": "compare models on growing subsets of the images",
    "export": "turn a checkpoint into one verified ONNX file",
    "classify": "label images with a model file",
    "verify": "check that a model file gives the same outputs here as where it was exported",
    "inspect": "show the card of a model file, the patches of an image, or the internals of a model on it",
    "bench": "measure vitrail beside its peers, in one run on one machine",
    "serve": "serve a model file over HTTP",
    "bento": "pack a model file and its server into a Bento",
    "demo": "train, export and serve on the embedded digits, end to end",
}

EXTRAS = {
    **dict.fromkeys(
        ("data", "fit", "pretrain", "validate", "test", "predict", "compare"), "train"
    ),  # `data` for the digits alone
    **dict.fromkeys(("classify", "verify", "inspect"), "cpu"),
    **dict.fromkeys(("serve", "bento"), "cpu,serve"),
    **dict.fromkeys(("build", "study", "export", "bench"), "cpu,train,export"),
    "demo": "cpu,train,export,serve",
    **dict.fromkeys(("bench decode", "bench python", "bench serve", "bench soak"), "cpu,serve"),
    "bench attention": "cpu,train",
    "bench gpu": "gpu,train,export,serve",
}

# Import names of the packages that the extras install; other missing modules are reported with their importer.
PACKAGES = frozenset(
    (
        *(
            "datasets",
            "huggingface_hub",
            "jsonargparse",
            "matplotlib",
            "pytorch_lightning",
            "rich",
            "safetensors",
            "scipy",
            "sklearn",
            "tensorboard",
            "timm",
            "torch",
        ),
        *("torchmetrics", "torchvision", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "ray", "bentoml", "httptools"),
        *("google", "grpc", "nvidia", "openvino", "opentelemetry", "transformers"),
        *("packaging", "prometheus_client", "pyarrow", "python_multipart", "starlette", "uvicorn", "uvloop", "yaml"),
    )
)


def usage() -> str:
    verbs = "\n".join(f"  {verb:<10}{what}" for verb, what in VERBS.items())
    more = "vitrail COMMAND --help shows its options, vitrail --version the version."
    return f"usage: vitrail COMMAND [OPTIONS]\n\n{verbs}\n\n{more}"


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 (done), 1 (failed) or 2 (wrong use)."""
    code = run(list(sys.argv[1:] if args is None else args))
    try:
        sys.stdout.flush()
    except OSError as fault:
        if code == 0 and not reader_is_gone(fault):
            print_error(f"standard output: {fault.strerror}")
        discard(sys.stdout)
        return code or 1
    return code


def run(argv: list[str]) -> int:
    try:
        return dispatch(argv)
    except VitrailError as fault:
        print_error(str(fault))
        return fault.exit_code
    except OSError as fault:  # a full disk, a folder that may not be written
        if not reader_is_gone(fault):
            print_error(f"{fault.strerror or fault}{f': {fault.filename}' if fault.filename else ''}")
        return 1
    except MemoryError as fault:
        print(f"vitrail: there is not enough memory for this{f': {fault}' if str(fault) else ''}", file=sys.stderr)
        return 1
    except SystemExit as leave:  # argparse after --help
        return int(leave.code or 0)
    except KeyboardInterrupt:
        print_error("stopped")
        return 1


def print_error(text: str) -> None:
    try:
        print(f"vitrail: {text}", file=sys.stderr)
    except OSError:  # the exit code remains
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Point the stream at /dev/null, or the interpreter fails on flushing it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def reader_is_gone(fault: OSError) -> bool:
    """Whether standard output is a pipe whose reader has closed it, as `head` does: not an error to report."""
    if not isinstance(fault, BrokenPipeError):
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if argv else UsageError.exit_code
    verb, *rest = argv
    if verb == "--version":
        from vitrail import __version__

        print(f"vitrail {__version__}")
        return 0
    if verb not in VERBS:
        raise UsageError(f"there is no command '{verb}'; the commands are {', '.join(VERBS)}")
    try:
        code: int = import_module(f"vitrail.commands.{verb}").main(rest)
    except ModuleNotFoundError as fault:
        raise missing_package(fault, argv) from fault
    return code


def missing_package(fault: ModuleNotFoundError, argv: list[str]) -> VitrailError:
    """The error for a module that is not installed: the extra that installs it, or else where it is imported."""
    if fault.name in PACKAGES:
        command = next(command for command in (" ".join(argv[:2]), argv[0]) if command in EXTRAS)
        return VitrailError(f"{fault}: `vitrail {command}` needs pip install 'vitrail[{EXTRAS[command]}]'")
    frames = [frame for frame in extract_tb(fault.__traceback__) if not frame.filename.startswith("<frozen importlib")]
    where = frames[-1]
    return VitrailError(f"{fault}, which is imported by {where.filename}, line {where.lineno}")


def entry() -> None:
    """The console script."""
    open_missing_streams()
    # Pillow warns of images that vitrail refuses itself, and of broken EXIF blocks that it ignores.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    set_environment()
    sys.exit(main())


def set_environment() -> None:
    """Defaults that libraries read when they are first imported, here and in child processes."""
    # OpenMP threads wait by spinning. Beside another busy program, a small network then trains ten times slower; after
    # this many turns a thread sleeps instead.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # torch prints a stack of C++ frames for each process of a training that has lost another.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if not sys.stderr.isatty():  # progress bars of other packages are drawn with control characters
        os.environ.setdefault("TQDM_DISABLE", "1")


def open_missing_streams() -> None:
    """Open closed standard streams (`>&-`) on /dev/null, or the next opened file gets their descriptor."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    entry()
