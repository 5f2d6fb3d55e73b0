"""vitrail bench: measure vitrail beside its peers, in one run on one machine; one file a kind."""

from collections.abc import Sequence
from importlib import import_module

from vitrail.errors import UsageError

KINDS = {
    "attention": "time and memory of every mechanism of attention against the number of vectors",
    "decode": "how fast photos become canvases, beside decoding all of their pixels, and what that changes",
    "forms": "what each form of a part of the ViT is worth: short fits, several seeds",
    "gpu": "everything that needs a GPU: its tests, inference, training, serving; in at most nine minutes",
    "infer": "how fast one network answers: our file, other exporters' files, torch",
    "python": "what `import vitrail` and `vitrail.load` cost beside onnxruntime alone",
    "serve": "how our server bears load: beside its peers, overloaded, at its start and at rest",
    "soak": "whether our server holds more and more while it serves for long",
}


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0 if args else UsageError.exit_code
    kind, *rest = args
    if kind not in KINDS:
        raise UsageError(f"there is nothing called '{kind}' to measure; there is {', '.join(KINDS)}")
    code: int = import_module(f"vitrail.commands.bench.{kind}").main(rest)
    return code


def usage() -> str:
    kinds = "\n".join(f"  {kind:<11}{what}" for kind, what in KINDS.items())
    return f"usage: vitrail bench KIND [OPTIONS]\n\n{kinds}\n\nvitrail bench KIND --help tells more."
