"""The command: light help, exit codes, and one line for whatever goes wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vitrail.card import InputRule
from vitrail.cli import VERBS, main
from vitrail.data import Digits

HEAVY = ("torch", "pytorch_lightning", "timm", "torchvision", "bentoml", "onnxruntime", "matplotlib")


def run(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    path = tmp_path / "digit.png"
    Image.fromarray(Digits().read("test", InputRule(8)).images[0]).save(path)
    return path


def test_help_is_light() -> None:
    """Every verb's help in one interpreter, which has imported nothing heavy in the end."""
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
    named = "digits-cnn, digits-labels, digits-places, digits-values, digits-vit, pictures-cnn, "
    assert f"recipes: {named}" in capsys.readouterr().out


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vitrail {version('vitrail')}\n"


def test_without_a_command_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().out.startswith("usage: vitrail COMMAND")


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["paint"], 2, "there is no command 'paint'"),
        (["classify"], 2, "required: model, pictures"),
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
        (["bench", "paint"], 2, "there is nothing called 'paint' to measure"),
        (["bench", "decode"], 2, "which photographs?"),
        (["bench", "decode", "--photos", "none"], 1, "there is no folder of photographs at none"),
        (["bench", "decode", "--photos", "none", "--rounds", "3"], 2, "measure at least 5"),
        (["bench", "decode", "--photos", "none", "--quality", "100"], 2, "between 1 and 95"),
        (["bench", "infer", "--rounds", "few"], 2, '"rounds"'),
        (["bench", "infer", "--rounds", "3"], 2, "measure at least 5"),
        (["bench", "infer", "--batches", "1,many"], 2, "several numbers are written"),
        (["bench", "infer", "--batches", "0"], 2, "at least 1 picture"),
        (["bench", "infer", "--size", "40", "--peers", "none"], 2, "do not divide a picture of 40"),
        (["bench", "infer", "--name", "vit_huge_patch99"], 2, "timm has no network"),
        (["bench", "infer", "--provider", "abacus"], 2, "invalid choice"),
        (["bench", "infer", "--json", "no/folder/out.json"], 2, "there is no folder"),
        (["export", "--checkpoint", "none.ckpt"], 1, "there is no checkpoint at none.ckpt"),
        (["export", "--checkpoint", "none.ckpt", "--colour", "red"], 2, "--colour"),
        (["serve"], 2, "which model?"),
        (["serve", "none.onnx"], 1, "there is no model file at none.onnx"),
        (["bento", "none.onnx"], 1, "there is no model file at none.onnx"),
        (["demo", "--steps", "3"], 2, "--steps"),
    ],
)
def test_what_goes_wrong_is_one_line(
    words: list[str],
    code: int,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vitrail: ")
    assert reason in line
    assert not list(tmp_path.iterdir())


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "vitrail.classifier", None)
    assert main(["verify", "model.onnx"]) == 1
    assert "pip install 'vitrail[cpu]'" in capsys.readouterr().err


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
    for words, expected in ((["--abstain"], True), ([], None)):
        assert main(["classify", str(never), str(digit), "--json", *words]) == 0
        assert json.loads(capsys.readouterr().out).get("none_of_these") is expected


def test_wrong_use_of_a_model_file_is_one_line(
    model_file: Path, digit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, reason in (
        ([str(digit), "nowhere.png"], "there is no picture at nowhere.png"),
        ([str(digit), "--top-k", "11"], "between 1 and 10"),
    ):
        assert main(["classify", str(model_file), *words]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        assert line.startswith("vitrail: ")
        assert reason in line


def test_a_bad_picture_is_named_and_the_others_are_answered(
    model_file: Path, digit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff broken")
    assert main(["classify", str(model_file), str(bad), str(digit), "--json"]) == 1
    refused, answered = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert refused == {"picture": str(bad), "error": "the JPEG picture is damaged and does not decode"}
    assert answered["picture"] == str(digit)
    assert answered["labels"][0]["label"] == str(Digits().labels("test")[0])
    assert len(answered["labels"]) == 5


def test_verify_says_in_json_what_it_found(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(model_file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"]
    assert [part["name"] for part in found["parts"]][:1] == ["logits of canvases"]
    assert all(part["worst"] <= part["allowed"] and part["passed"] for part in found["parts"])


def test_a_place_that_cannot_be_written_is_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["export", "--checkpoint", str(checkpoint), f"--output={tmp_path / 'file' / 'model.onnx'}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vitrail: ")
    assert str(tmp_path / "file") in line


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
def test_memory_that_is_not_there_is_one_line(
    fault: MemoryError, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(words: list[str]) -> int:
        raise fault

    monkeypatch.setattr("vitrail.cli.dispatch", exhausted)
    assert main(["fit"]) == 1
    assert capsys.readouterr().err == line
