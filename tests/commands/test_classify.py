"""vitrail classify: predictions of files and folders, a batch at a time, without torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vitrail.cli import main
from vitrail.commands import classify
from vitrail.data import Digits
from vitrail.images.canvas import InputRule
from vitrail.model_file import model


def test_classify_and_verify_need_no_torch(model_file: Path, digit: Path) -> None:
    code = (
        "import sys\n"
        "from vitrail.cli import main\n"
        f"codes = [main(['classify', {str(model_file)!r}, {str(digit)!r}]), main(['verify', {str(model_file)!r}])]\n"
        "print(codes, [name for name in ('torch', 'timm', 'bentoml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, *_, last = done.stdout.splitlines()
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
        parent = folder / "below" if number > 4 else folder
        Image.fromarray(digits.images[number]).save(parent / f"{number}.png")
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
