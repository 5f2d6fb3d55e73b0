"""Costly images in separate processes: the same canvases and errors; a crash fails only its image."""

import asyncio
import io
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

import vitrail
from vitrail.bench.serve import bombs
from vitrail.errors import CorruptImage, ImageError, ImageTooLarge, UnsupportedFormat
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit
from vitrail.model_file.classifier import Classifier
from vitrail.serving.engine.decoder_process import NICE, DecoderProcess, DecoderProcesses

from ..engines import local_engine

RULE = InputRule(16, "crop")


@pytest.fixture
def decoders() -> Iterator[DecoderProcesses]:
    made = DecoderProcesses()
    yield made
    made.close()


def image(kind: str = "PNG", sides: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (*sides[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_canvas_equals_that_of_this_process(decoders: DecoderProcesses, kind: str) -> None:
    for rule in (RULE, InputRule(8, "pad"), InputRule(9)):
        canvas = decoders.fit(image(kind), rule)
        assert np.array_equal(canvas, fit(image(kind), rule))
        canvas[0] = 0  # canvases are writable
    assert len(decoders.idle) == 1


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"no image", UnsupportedFormat),
        (image()[:200], CorruptImage),
        (bombs.webp(8000), ImageTooLarge),
        (b"", UnsupportedFormat),
    ],
    ids=["text", "cut", "large", "empty"],
)
def test_errors_equal_those_of_this_process(decoders: DecoderProcesses, data: bytes, error: type[ImageError]) -> None:
    with pytest.raises(ImageError) as here:
        fit(data, RULE)
    with pytest.raises(error) as there:
        decoders.fit(data, RULE)
    assert (type(there.value), str(there.value)) == (type(here.value), str(here.value))
    assert decoders.fit(image(), RULE).shape == (16, 16, 3)


def test_killed_process_is_replaced(decoders: DecoderProcesses) -> None:
    first = decoders.acquire()
    decoders.release(first)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert np.array_equal(decoders.fit(image(), RULE), fit(image(), RULE))
    assert decoders.idle[0].process.pid != first.process.pid


def test_image_that_crashes_decoders_is_refused(decoders: DecoderProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an image that exploits a bug in a decoder would."""

    def killed(self: DecoderProcess, data: bytes, rule: InputRule) -> NoReturn:
        self.process.kill()
        raise EOFError

    monkeypatch.setattr("vitrail.serving.engine.decoder_process.DecoderProcess.fit", killed)
    with pytest.raises(CorruptImage, match="ended with exit code -9"):
        decoders.fit(image(), RULE)
    assert not decoders.idle


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere priorities and environments are read otherwise")
def test_process_has_low_priority_and_huge_pages(decoders: DecoderProcesses) -> None:
    decoders.fit(image(), RULE)
    process = psutil.Process(decoders.idle[0].process.pid)
    assert process.nice() == os.nice(0) + NICE
    assert process.environ()["GLIBC_TUNABLES"]


def test_process_imports_nothing_heavy(decoders: DecoderProcesses) -> None:
    """Its start delays the first costly image."""
    decoders.fit(image(), RULE)
    maps = {os.path.basename(each.path) for each in psutil.Process(decoders.idle[0].process.pid).memory_maps()}
    assert not [name for name in maps if "onnxruntime" in name or "torch" in name or "uvloop" in name]


def test_processes_end_with_the_server(decoders: DecoderProcesses) -> None:
    decoders.fit(image(), RULE)
    process = decoders.idle[0].process
    decoders.close()
    assert process.wait(10) == 0


def test_busy_process_ends_after_the_server(decoders: DecoderProcesses) -> None:
    decoder = decoders.acquire()
    decoders.close()
    decoders.release(decoder)
    assert decoder.process.wait(10) == 0


def test_threads_do_not_share_a_process(decoders: DecoderProcesses) -> None:
    results: list[bool] = []

    def many() -> None:
        results.extend(np.array_equal(decoders.fit(image(sides=(n, 9)), RULE), fit(image(sides=(n, 9)), RULE))
                       for n in range(20, 40))  # fmt: skip

    threads = [threading.Thread(target=many, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [True] * 60
    assert len(decoders.idle) <= 3


def test_engine_decodes_only_costly_images_in_processes(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    own_fit = DecoderProcesses.fit

    def record_and_fit(self: DecoderProcesses, data: bytes, rule: InputRule) -> NDArray[np.uint8]:
        seen.append(len(data))
        return own_fit(self, data, rule)

    monkeypatch.setattr(DecoderProcesses, "fit", record_and_fit)
    costly, small = bombs.deep_png(4000), image()

    async def scenario() -> None:
        model = Classifier(model_file, "cpu")
        engine, _ = local_engine(model)
        rule = model.card.input
        canvases = await engine.decode([small, costly, small])
        for canvas, data in zip(canvases, [small, costly, small], strict=True):
            assert isinstance(canvas, np.ndarray)
            assert np.array_equal(canvas, fit(data, rule))
        await engine.close()

    asyncio.run(scenario())
    assert seen == [len(costly)]


def test_modules_in_the_working_directory_are_not_imported(
    decoders: DecoderProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may be started in any folder, and a Bento carries vitrail without installing it."""
    (tmp_path / "json.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(decoders.fit(image(), RULE), fit(image(), RULE))


def test_vitrail_need_not_be_installed(
    decoders: DecoderProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the parent's own import path names it, as in a Bento."""
    source = tmp_path / "bento/src"
    source.mkdir(parents=True)
    (source / "vitrail").symlink_to(Path(vitrail.__file__).parent)
    monkeypatch.setattr(vitrail, "__file__", str(source / "vitrail/__init__.py"))
    assert np.array_equal(decoders.fit(image(), RULE), fit(image(), RULE))
    assert psutil.Process(decoders.idle[0].process.pid).cwd() == str(source)
