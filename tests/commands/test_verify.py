"""vitrail verify: part by part, on the provider that is named."""

import json
from pathlib import Path

import pytest

from vitrail.cli import main


def test_verify_reports_in_json(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(model_file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"]
    assert [part["name"] for part in report["parts"]][:1] == ["logits of canvases"]
    assert all(part["worst"] <= part["allowed"] and part["passed"] for part in report["parts"])


@pytest.mark.parametrize("verb", ["classify", "verify"])
def test_providers_are_those_of_the_runtime(
    verb: str, model_file: Path, digit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [str(digit)] if verb == "classify" else []
    assert main([verb, str(model_file), *images, "--provider", "tensorrt"]) == 1
    assert "provider 'tensorrt' was requested, but" in capsys.readouterr().err
