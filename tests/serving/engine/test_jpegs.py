"""Whether nvImageCodec may decode: where canvases and answers hardly differ; and the decoder that then uses it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit
from vitrail.images.nvimgcodec import NvImageCodec
from vitrail.model_file.described import Outputs
from vitrail.serving.engine import jpegs
from vitrail.serving.engine.jpegs import decodes_alike, samples
from vitrail.tasks import TASKS

from ..engines import local_engine

pytest.importorskip("nvidia.nvimgcodec")

RULE = InputRule(224)
SIZES = [InputRule(size) for size in (96, 160, 224, 384)]


class MeanColour:
    """A model whose answers are the shares of the three colours, sharpened."""

    def __init__(self, sharpness: float = 1.0, rule: InputRule = RULE) -> None:
        self.card, self.task, self.sharpness = SimpleNamespace(input=rule), TASKS["classification"], sharpness

    def predict(self, canvases: np.ndarray) -> Outputs:
        means = canvases.mean(axis=(1, 2)) * self.sharpness
        powers = np.exp(means - means.max(axis=1, keepdims=True))
        return Outputs({"probabilities": (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)})


def is_taken(model: MeanColour) -> bool:
    subject: Any = model
    return decodes_alike(subject)


@pytest.mark.parametrize("rule", SIZES, ids=lambda rule: str(rule.size))
def test_there_are_samples_that_it_takes(rule: InputRule) -> None:
    assert len(list(samples(rule))) >= 3


def test_it_is_taken_where_nothing_differs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bentoml.vitrail")
    assert is_taken(MeanColour())
    assert "JPEGs are decoded by nvImageCodec: canvases differ by 0.00 levels (at most 1)" in caplog.text


class Brighter(NvImageCodec):
    """Decodes every pixel brighter by some levels."""

    def __init__(self, levels: int) -> None:
        super().__init__(on_cpu=True)
        self.levels = levels

    def decode(self, data: bytes) -> np.ndarray | None:
        pixels = super().decode(data)
        if pixels is not None:
            pixels = pixels.copy()
            pixels[..., 0] = np.minimum(pixels[..., 0].astype(int) + self.levels, 255)
        return pixels


@pytest.mark.parametrize(
    ("levels", "sharpness", "taken"),
    [(1, 0.01, True), (1, 10.0, False), (6, 0.0, False)],
    ids=["alike", "other answers", "other canvases"],
)
def test_differences_are_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, levels: int, sharpness: float, taken: bool
) -> None:
    caplog.set_level("INFO", "bentoml.vitrail")
    monkeypatch.setattr(jpegs, "codec", lambda: Brighter(levels))
    assert is_taken(MeanColour(sharpness)) == taken
    assert f"JPEGs are decoded by {'nvImageCodec' if taken else 'Pillow'}: canvases differ by" in caplog.text


def test_one_that_does_not_work_here_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(NvImageCodec):
        def decode(self, data: bytes) -> None:
            raise RuntimeError("no device")

    monkeypatch.setattr(jpegs, "codec", lambda: Broken(on_cpu=True))
    assert not is_taken(MeanColour())
    assert "JPEGs are decoded by Pillow: no device" in caplog.text
    monkeypatch.setattr(Broken, "decode", lambda codec, data: None)
    assert not is_taken(MeanColour())
    assert "JPEGs are decoded by Pillow: nvImageCodec does not decode one of the test images" in caplog.text


def test_the_decoder_of_requests_uses_it() -> None:
    async def scenario() -> None:
        engine, _ = local_engine()
        engine.decoder.jpegs = Brighter(90)
        data = next(samples(RULE))
        (canvas,) = await engine.decoder.decode([data], RULE)
        assert isinstance(canvas, np.ndarray)
        assert canvas[..., 0].mean() > fit(data, RULE)[..., 0].mean() + 30
        header = engine.decoder.header(data, RULE)
        assert engine.decoder.peak(header, RULE) == header.peak(RULE) + 3 * header.pixels  # type: ignore[arg-type, union-attr]
        await engine.close()

    asyncio.run(scenario())
