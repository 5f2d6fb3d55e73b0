"""The command `vitrail`: finds the verb, and turns what goes wrong into one line and an exit code."""

import sys
from collections.abc import Sequence
from importlib import import_module

from vitrail.errors import UsageError, VitrailError

VERBS = {
    "fit": "train a ViT or a CNN from a YAML recipe",
    "validate": "measure a checkpoint on the validation pictures",
    "test": "measure a checkpoint on the test pictures: top-1, top-5, macro-F1, each class",
    "predict": "write a checkpoint's answer to every test picture into a table",
    "study": "find out which model this much data deserves",
    "export": "turn a checkpoint into one ONNX file that has proved itself",
    "classify": "label pictures with a model file",
    "verify": "check that a model file answers here as it did where it was made",
    "inspect": "show what a model file says of itself, a picture as its patches, or what a model makes of it",
    "bench": "measure vitrail beside its peers, in one run on one machine",
    "serve": "serve a model file over HTTP",
    "bento": "pack a model file and its server into a Bento",
    "demo": "the whole way on the embedded digits, from training to an answer over HTTP",
}

EXTRAS = {
    **dict.fromkeys(("fit", "validate", "test", "predict"), "train"),
    **dict.fromkeys(("classify", "verify", "inspect"), "cpu"),
    **dict.fromkeys(("serve", "bento"), "cpu,serve"),
    **dict.fromkeys(("study", "export", "bench"), "cpu,train,export"),
    "demo": "cpu,train,export,serve",
}


def usage() -> str:
    verbs = "\n".join(f"  {verb:<10}{what}" for verb, what in VERBS.items())
    more = "vitrail COMMAND --help tells more, vitrail --version the version."
    return f"usage: vitrail COMMAND [OPTIONS]\n\n{verbs}\n\n{more}"


def main(args: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 (done), 1 (failed) or 2 (wrong use)."""
    words = list(sys.argv[1:] if args is None else args)
    try:
        return dispatch(words)
    except VitrailError as fault:
        print(f"vitrail: {fault}", file=sys.stderr)
        return fault.exit_code
    except OSError as fault:  # a full disk, a folder that may not be written
        print(f"vitrail: {fault.strerror or fault}{f': {fault.filename}' if fault.filename else ''}", file=sys.stderr)
        return 1
    except MemoryError as fault:
        print(f"vitrail: there is not enough memory for this{f': {fault}' if str(fault) else ''}", file=sys.stderr)
        return 1
    except SystemExit as leave:  # argparse after --help
        return int(leave.code or 0)
    except KeyboardInterrupt:
        print("vitrail: stopped", file=sys.stderr)
        return 1


def dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else UsageError.exit_code
    verb, *rest = words
    if verb == "--version":
        from vitrail import __version__

        print(f"vitrail {__version__}")
        return 0
    if verb not in VERBS:
        raise UsageError(f"there is no command '{verb}'; the commands are {', '.join(VERBS)}")
    try:
        code: int = import_module(f"vitrail.commands.{verb}").main(rest)
    except ModuleNotFoundError as fault:
        raise VitrailError(f"{fault}: `vitrail {verb}` needs pip install 'vitrail[{EXTRAS[verb]}]'") from fault
    return code


def entry() -> None:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
