"""vitrail bench: measure vitrail beside its peers, in one run on one machine; one file per benchmark."""

from collections.abc import Sequence
from importlib import import_module

from vitrail.errors import UsageError

KINDS = {
    "attention": "time and memory of every attention mechanism against the number of vectors",
    "build": "what `vitrail build` reaches in a few minutes, beside timm's training script",
    "data": "what training images cost, from files to batches: beside timm's loader and torchvision's",
    "decode": "how fast photos become canvases, beside decoding all of their pixels, and what that changes",
    "forms": "the forms of a part of the ViT compared: short fits, several seeds",
    "gpu": "everything that needs a GPU: its tests, inference, training, data, serving; within --minutes (9)",
    "infer": "inference speed of one network: our file, other exporters' files, torch",
    "python": "time of `import vitrail`, `vitrail.load` and predictions on arrays, beside onnxruntime alone",
    "serve": "our server under load: beside its peers, overloaded, at start-up and at rest",
    "soak": "whether memory, files or threads of our server grow under long load",
    "train": "training on JPEG files: pipeline, network and both, beside timm's loop and a plain ImageFolder loop",
}


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0 if args else UsageError.exit_code
    kind, *rest = args
    if kind not in KINDS:
        raise UsageError(f"there is no benchmark '{kind}'; there is {', '.join(KINDS)}")
    code: int = import_module(f"vitrail.commands.bench.{kind}").main(rest)
    return code


def usage() -> str:
    kinds = "\n".join(f"  {kind:<11}{what}" for kind, what in KINDS.items())
    return f"usage: vitrail bench KIND [OPTIONS]\n\n{kinds}\n\nvitrail bench KIND --help has the options."
