"""The command: help without heavy imports, exit codes, and one line for every error."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vitrail.cli import EXTRAS, PACKAGES, VERBS, main
from vitrail.commands import classify
from vitrail.commands.bench import KINDS
from vitrail.data import Digits
from vitrail.images.canvas import InputRule
from vitrail.model_file import model

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "pytorch_lightning", "timm", "torchvision", "bentoml", "onnxruntime", "matplotlib")


def run(code: str) -> str:
    """The output of a new interpreter."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    path = tmp_path / "digit.png"
    Image.fromarray(Digits().read("test", InputRule(8)).images[0]).save(path)
    return path


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
    named = "digits-cnn, digits-dense, digits-multilabel, digits-regression, digits-vit, images-cnn, "
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


def test_classify_and_verify_need_no_torch(model_file: Path, digit: Path) -> None:
    printed = run(
        "import sys\n"
        "from vitrail.cli import main\n"
        f"codes = [main(['classify', {str(model_file)!r}, {str(digit)!r}]), main(['verify', {str(model_file)!r}])]\n"
        "print(codes, [name for name in ('torch', 'timm', 'bentoml') if name in sys.modules])"
    )
    first, second, *_, last = printed.splitlines()
    label = str(Digits().labels("test")[0])
    assert first.startswith(f"{digit}: {label} ")
    assert "verified on CPUExecutionProvider" in second or "verified on CUDAExecutionProvider" in second
    assert last == "[0, 0] []"


def test_abstaining_says_none_of_these_below_the_cards_threshold(
    edited: Callable[..., Path], digit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    never = edited(lambda card: card["abstention"].update(threshold=1.01))
    assert main(["classify", str(never), str(digit), "--abstain"]) == 0
    assert capsys.readouterr().out.startswith(f"{digit}: none of these (")
    for options, expected in ((["--abstain"], True), ([], None)):
        assert main(["classify", str(never), str(digit), "--json", *options]) == 0
        assert json.loads(capsys.readouterr().out).get("none_of_these") is expected


def test_wrong_use_of_a_model_file_is_one_line(
    model_file: Path, digit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, reason in (
        ([str(digit), "nowhere.png"], "there is no image at nowhere.png"),
        ([str(digit), "--top-k", "11"], "between 1 and 10"),
    ):
        assert main(["classify", str(model_file), *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        assert line.startswith("vitrail: ")
        assert reason in line


def test_a_bad_image_is_named_and_the_others_are_predicted(
    model_file: Path, digit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff broken")
    assert main(["classify", str(model_file), str(bad), str(digit), "--json"]) == 1
    refused, predicted = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert refused == {"image": str(bad), "error": "the JPEG image is damaged and does not decode"}
    assert predicted["image"] == str(digit)
    assert predicted["labels"][0]["label"] == str(Digits().labels("test")[0])
    assert len(predicted["labels"]) == 5


def test_a_folder_is_predicted_a_batch_at_a_time(
    model_file: Path, digit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch is read at a time, and printed before the next one; an unreadable file has its own line."""
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    digits = Digits().read("test", InputRule(8))
    for number in range(7):
        place = folder / "below" if number > 4 else folder
        Image.fromarray(digits.images[number]).save(place / f"{number}.png")
    (folder / "2.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not an image by its name")
    read: list[str] = []
    printed_before: list[int] = []
    read_bytes = Path.read_bytes

    def reading(path: Path) -> bytes:
        if path.suffix == ".png":
            read.append(path.name)
        if path.name == "3.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    def printing(line: str, flush: bool) -> None:
        printed_before.append(len(read))
        print(line, flush=flush)

    monkeypatch.setattr(Path, "read_bytes", reading)
    monkeypatch.setattr(model, "BATCH", 3)
    monkeypatch.setattr(classify, "print", printing, raising=False)
    assert main(["classify", str(model_file), str(digit), str(folder), "--json", "--top-k=1", "--provider=cpu"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = ["0.png", "1.png", "2.png", "3.png", "4.png", "below/5.png", "below/6.png"]
    assert [one["image"] for one in lines] == [str(digit), *(str(folder / name) for name in names)]
    assert printed_before == [3, 3, 3, 6, 6, 6, 8, 8]
    assert "not an image that vitrail reads" in lines[3]["error"]
    assert lines[4]["error"] == "cannot be read: Permission denied"
    predicted = {one["image"]: one["labels"] for one in lines if "labels" in one}
    assert len(predicted) == 6
    monkeypatch.undo()
    for name in ("1.png", "below/6.png"):  # alone as in its batch
        assert main(["classify", str(model_file), str(folder / name), "--json", "--top-k=1", "--provider=cpu"]) == 0
        (alone,) = json.loads(capsys.readouterr().out)["labels"]
        (beside,) = predicted[str(folder / name)]
        assert beside["label"] == alone["label"]
        assert beside["probability"] == pytest.approx(alone["probability"], abs=1e-5)


def test_a_folder_without_images_is_refused(
    model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", str(model_file), str(tmp_path)]) == 2
    assert f"there is no image in {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["classify", "verify"])
def test_providers_are_those_of_the_runtime(
    verb: str, model_file: Path, digit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [str(digit)] if verb == "classify" else []
    assert main([verb, str(model_file), *images, "--provider", "tensorrt"]) == 1
    assert "provider 'tensorrt' was requested, but" in capsys.readouterr().err


def test_verify_reports_in_json(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(model_file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert [part["name"] for part in report["parts"]][:1] == ["logits of canvases"]
    assert all(part["worst"] <= part["allowed"] and part["passed"] for part in report["parts"])


def test_an_unwritable_output_is_one_line(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["export", "--checkpoint", str(checkpoint), f"--output={tmp_path / 'file' / 'model.onnx'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vitrail: ")
    assert str(tmp_path / "file") in line


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
