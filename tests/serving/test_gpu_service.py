"""The service of a Bento for a GPU is refused, with the reason, where there is none."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from bentoml.exceptions import BentoMLException

from vitrail.serving.gpu_service import refuse_without_gpu


@pytest.mark.parametrize(("provider", "tried"), [("cpu", False), ("auto", False), ("cuda", True), ("tensorrt", True)])
def test_only_gpu_providers_are_checked_before_the_start(
    provider: str, tried: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VITRAIL_MODEL", str(tmp_path / "none.onnx"))
    reason = r"packed for a GPU: there is no model file at .*none.onnx\. Set"
    with pytest.raises(BentoMLException, match=reason) if tried else nullcontext():
        refuse_without_gpu(provider)
