"""The command: help without heavy imports, exit codes, and one line for every error."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vitrail.cli import EXTRAS, PACKAGES, VERBS, main
from vitrail.commands.bench import KINDS

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "pytorch_lightning", "timm", "torchvision", "bentoml", "onnxruntime", "matplotlib")


def run(code: str) -> str:
    """The output of a new interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_is_light() -> None:
    """Every verb's help in one interpreter imports nothing heavy."""
    printed = run(
        "import sys\n"
        "from vitrail.cli import VERBS, main\n"
        "codes = [main(['--help']), *(main([verb, '--help']) for verb in VERBS)]\n"
        f"print(codes, [name for name in {HEAVY} if name in sys.modules])"
    )
    assert printed.splitlines()[-1] == f"{[0] * (len(VERBS) + 1)} []"
    for verb in VERBS:
        assert f"usage: vitrail {verb}" in printed


def test_help_of_the_trained_verbs_lists_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    named = (
        "digits-cnn, digits-dense, digits-dense-regression, digits-detection, digits-multilabel, digits-regression, "
        "digits-sequence, "
    )
    assert f"recipes: {named}" in capsys.readouterr().out


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vitrail {version('vitrail')}\n"


def test_without_a_command_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().out.startswith("usage: vitrail COMMAND")


@pytest.mark.parametrize(
    ("argv", "code", "reason"),
    [
        (["paint"], 2, "there is no command 'paint'"),
        (["data", "paint"], 2, "there is no `vitrail data paint`"),
        (["data", "check"], 2, "required: path"),
        (["data", "check", "none"], 2, "there is no folder of images at none"),
        (["classify"], 2, "required: model, images"),
        (["classify", "none.onnx", "none.png"], 1, "there is no model file at none.onnx"),
        (["classify", "none.onnx", "none.png", "--top-k", "many"], 2, "invalid int value"),
        (["verify"], 2, "required: model"),
        (["compare"], 2, "required: RUN"),
        (["compare", "none", "none"], 2, "there is no predictions.npz at none"),
        (["verify", "one.onnx", "two.onnx"], 2, "unrecognized arguments: two.onnx"),
        (["inspect"], 2, "required: file"),
        (["inspect", "none.png", "--patch", "small"], 2, "invalid int value"),
        (["bento"], 2, "required: model"),
        (["bento", "none.onnx", "--runtime", "abacus"], 2, "invalid choice"),
        (["demo", "--port", "front"], 2, "invalid int value"),
        (["serve", "none.onnx", "--port", "front"], 2, '"port"'),
        (["verify", "none.onnx"], 1, "there is no model file at none.onnx"),
        (["verify", "none.onnx", "--provider", "abacus"], 2, "invalid choice"),
        (["inspect", "none.onnx"], 2, "there is no file at none.onnx"),
        (["export"], 2, "checkpoint"),
        (["bench", "paint"], 2, "there is no benchmark 'paint'"),
        (["bench", "decode"], 2, "which photographs?"),
        (["bench", "train"], 2, "which photographs?"),
        (["bench", "decode", "--photos", "none"], 1, "there is no folder of photographs at none"),
        (["bench", "decode", "--photos", "none", "--rounds", "3"], 2, "measure at least 5"),
        (["bench", "decode", "--photos", "none", "--quality", "100"], 2, "between 1 and 95"),
        (["bench", "infer", "--rounds", "few"], 2, '"rounds"'),
        (["bench", "infer", "--rounds", "3"], 2, "measure at least 5"),
        (["bench", "infer", "--batches", "1,many"], 2, "several numbers are written"),
        (["bench", "infer", "--batches", "0"], 2, "at least 1 image"),
        (["bench", "infer", "--size", "40", "--peers", "none"], 2, "do not divide an image of 40"),
        (["bench", "infer", "--name", "vit_huge_patch99"], 2, "timm has no network"),
        (["bench", "infer", "--provider", "abacus"], 2, "invalid choice"),
        (["bench", "infer", "--json", "no/folder/out.json"], 2, "there is no folder"),
        (["export", "--checkpoint", "none.ckpt"], 1, "there is no checkpoint at none.ckpt"),
        (["export", "--checkpoint", "none.ckpt", "--colour", "red"], 2, "--colour"),
        (["serve"], 2, "the model file is missing: vitrail serve model.onnx"),
        (["serve", "none.onnx"], 1, "there is no model file at none.onnx"),
        (["bento", "none.onnx"], 1, "there is no model file at none.onnx"),
        (["demo", "--steps", "3"], 2, "--steps"),
    ],
)
def test_every_error_is_one_line(
    argv: list[str],
    code: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vitrail: ")
    assert reason in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argv", "package", "message"),
    [
        (["verify", "model.onnx"], "onnxruntime", "`vitrail verify` needs pip install 'vitrail[cpu]'"),
        (["bench", "infer"], "jsonargparse", "needs pip install 'vitrail[cpu,train,export]'"),
        (["bench", "serve"], "jsonargparse", "`vitrail bench serve` needs pip install 'vitrail[cpu,serve]'"),
    ],
)
def test_a_missing_package_names_its_extra(
    argv: list[str], package: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = {"vitrail.commands.verify": package, "vitrail.commands.bench": package}

    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{faults[name]}'", name=faults[name])

    monkeypatch.setattr("vitrail.cli.import_module", absent)
    assert main(argv) == 1
    assert capsys.readouterr().err.endswith(f"{message}\n")


def test_every_command_names_its_extra() -> None:
    """Those of `bench` may differ from it; none is left over."""
    assert VERBS.keys() <= EXTRAS.keys()
    assert EXTRAS.keys() - VERBS.keys() <= {f"bench {kind}" for kind in KINDS}


@pytest.mark.parametrize("module", ["my_losses", "onnxruntime.nothing", "vitrail.clasifier"])
def test_another_missing_module_is_named_with_its_importer(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's module, or a typo: no extra of vitrail provides it."""
    (tmp_path / "own_net.py").write_text(f"import math\n\nimport {module}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("vitrail.cli.import_module", lambda name: __import__("own_net"))
    assert main(["verify", "model.onnx"]) == 1
    message = capsys.readouterr().err
    assert message == f"vitrail: No module named '{module}', which is imported by {tmp_path}/own_net.py, line 3\n"


def test_packages_of_ours_are_those_of_the_extras() -> None:
    """By import name, for the installed packages."""
    import tomllib
    from importlib.metadata import packages_distributions

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        Requirement(each).name for extra, each_of in extras.items() if extra not in ("dev", "docs") for each in each_of
    }
    imported: dict[str, set[str]] = {}
    for package, distributions in packages_distributions().items():
        for distribution in distributions:
            imported.setdefault(canonicalize_name(distribution), set()).add(package)
    known = {name: imported[name] for name in map(canonicalize_name, named) if name in imported}
    assert not [name for name, packages in known.items() if not packages & PACKAGES]
    assert set().union(*known.values()) >= PACKAGES


OUTPUTS = {
    "full disk": (">/dev/full", 1, ["vitrail: ", "No space left on device"]),
    "reader gone": (">&7", 1, []),
    "closed": (">&-", 0, []),
    "all full": (">/dev/full 2>&1", 1, []),
    "all closed": ("<&- >&- 2>&-", 0, []),
}


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize(("output", "code", "message"), OUTPUTS.values(), ids=OUTPUTS.keys())
def test_output_that_cannot_be_written(output: str, code: int, message: list[str], buffered: bool) -> None:
    """One line if a disk is full; nothing if the reader has gone, as in `vitrail … | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    shell = f'exec "$@" {output}'.replace("7", str(writing))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["bash", "-c", shell, "bash", sys.executable, "-m", "vitrail", "--help"],
        env=environment | ({} if buffered else {"PYTHONUNBUFFERED": "1"}),
        pass_fds=[writing],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == bool(message)
    assert all(part in done.stderr for part in message)


def test_a_broken_pipe_that_is_not_our_output_is_reported(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def failing(argv: list[str]) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("vitrail.cli.dispatch", failing)
    with monkeypatch.context() as patched, open(os.devnull, "w") as nowhere:
        patched.setattr(sys, "stdout", nowhere)
        assert main(["verify"]) == 1
    assert capfd.readouterr().err == "vitrail: Broken pipe\n"


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (MemoryError(), "vitrail: there is not enough memory for this\n"),
        (
            MemoryError("Unable to allocate 9 GiB"),
            "vitrail: there is not enough memory for this: Unable to allocate 9 GiB\n",
        ),
    ],
)
def test_a_memory_error_is_one_line(
    fault: MemoryError, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(argv: list[str]) -> int:
        raise fault

    monkeypatch.setattr("vitrail.cli.dispatch", exhausted)
    assert main(["fit"]) == 1
    assert capsys.readouterr().err == line
