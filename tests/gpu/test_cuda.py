"""On an NVIDIA GPU: the same predictions as on the CPU, and no silent fallback to it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vitrail.bench.infer.network import seeded_batch
from vitrail.data import Digits
from vitrail.images.canvas import InputRule
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.golden_check import check_golden
from vitrail.runtime.bound import BoundGraph, lock_pages
from vitrail.runtime.providers import PROVIDERS, TF32, Provider, has_nvidia_driver

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not has_nvidia_driver(), reason="there is no NVIDIA GPU on this machine"),
]


def canvases(model: Classifier, images: int) -> np.ndarray:
    return seeded_batch(model.card.input, images, seed=0).canvases


def allowed_logit_error(model: Classifier, logits: np.ndarray) -> float:
    """As the card has it for CUDA: of logits, times their deviation where that is above 1."""
    return model.card.golden.tolerance[PROVIDERS["cuda"]] * max(1.0, float(logits.std()))


@pytest.mark.usefixtures("needs_cuda")
def test_cuda_predicts_as_the_cpu_does(model_file: Path) -> None:
    images = Digits().read("test", InputRule(8)).images
    on_gpu, on_cpu = (Classifier(model_file, provider).predict(images) for provider in ("cuda", "cpu"))
    allowed = allowed_logit_error(Classifier(model_file, "cpu"), on_cpu.logits)
    assert np.abs(on_gpu.logits - on_cpu.logits).max() <= allowed
    assert np.array_equal(on_gpu.probabilities.argmax(1), on_cpu.probabilities.argmax(1))


@pytest.mark.usefixtures("needs_cuda")
def test_auto_selects_cuda_and_passes_the_golden_check(model_file: Path) -> None:
    classifier = Classifier(model_file, "auto")
    assert classifier.provider == PROVIDERS["cuda"]
    assert check_golden(classifier).passed


@pytest.mark.usefixtures("needs_cuda")
def test_vit_predicts_as_on_the_cpu_at_any_batch_size(seeded_file: Path) -> None:
    """Attention in one operator, and TF32 off: its 10 bits of mantissa would fail this bound."""
    on_gpu, on_cpu = (Classifier(seeded_file, provider) for provider in ("cuda", "cpu"))
    images = canvases(on_cpu, 33)
    expected = on_cpu.predict(images).logits
    allowed = allowed_logit_error(on_cpu, expected)
    for size in (1, 2, 7, 32, 33):
        assert np.abs(on_gpu.predict(images[:size]).logits - expected[:size]).max() <= allowed


@pytest.mark.usefixtures("needs_cuda")
@pytest.mark.parametrize("provider", ["cuda", "auto"])
def test_vit_passes_its_golden_check_on_the_gpu(seeded_file: Path, provider: Provider) -> None:
    classifier = Classifier(seeded_file, provider)
    assert classifier.provider == PROVIDERS["cuda"]
    check = check_golden(classifier)
    assert check.passed, check.differences


@pytest.mark.usefixtures("needs_cuda")
def test_graphs_are_captured_and_repeated_with_new_images(seeded_file: Path) -> None:
    """From several threads, in every bucket; results are those of the session that captures nothing."""
    on_gpu, on_cpu = (Classifier(seeded_file, provider) for provider in ("cuda", "cpu"))
    graph = on_gpu.for_canvases
    assert isinstance(graph, BoundGraph)
    assert graph.captures, on_gpu.fallbacks
    images = canvases(on_cpu, 33)
    expected = on_cpu.predict(images).logits
    allowed = allowed_logit_error(on_cpu, expected)

    def error(number: int) -> float:
        start, size = number % 9, (1, 2, 3, 8, 13, 24)[number % 6]
        parts = [images[start : start + 1], images[start + 1 : start + size]][: 1 + (size > 1)]
        logits = on_gpu.predict_parts(parts).logits
        return float(np.abs(logits - expected[start : start + size]).max())

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(error, range(200))) <= allowed


@pytest.mark.usefixtures("needs_cuda")
def test_other_sizes_are_resized_beside_captured_graphs(seeded_file: Path) -> None:
    on_gpu, on_cpu = (Classifier(seeded_file, provider) for provider in ("cuda", "cpu"))
    images = np.random.default_rng(0).integers(0, 256, (2, 50, 41, 3), np.uint8)
    expected = on_cpu.predict(images).logits
    on_gpu.predict(canvases(on_cpu, 3))
    assert np.abs(on_gpu.predict(images).logits - expected).max() <= allowed_logit_error(on_cpu, expected)


@pytest.mark.usefixtures("needs_cuda")
def test_pages_of_the_staging_memory_are_locked() -> None:
    assert lock_pages(np.zeros((32, 224, 224, 3), np.uint8))


@pytest.mark.usefixtures("needs_cuda")
def test_tf32_passes_its_golden_check_by_name(seeded_file: Path) -> None:
    classifier = Classifier(seeded_file, "cuda-tf32")
    assert classifier.provider == TF32["cuda-tf32"]
    check = check_golden(classifier)
    assert check.passed, check.differences


@pytest.mark.usefixtures("needs_tensorrt")
def test_tensorrt_predicts_as_the_cpu_does(seeded_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its engine is built here, for batches of 1 to 32, and cached for the next start."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    on_gpu, on_cpu = (Classifier(seeded_file, provider) for provider in ("tensorrt", "cpu"))
    images = canvases(on_cpu, 32)
    expected = on_cpu.predict(images).logits
    for size in (1, 7, 32):
        logits = on_gpu.predict(images[:size]).logits
        assert np.abs(logits - expected[:size]).max() <= allowed_logit_error(on_cpu, expected)
    assert check_golden(on_gpu).passed
    assert list(tmp_path.rglob("*.engine"))


@pytest.mark.usefixtures("needs_cuda")
def test_server_is_ready_on_the_gpu(seeded_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("bentoml")
    from vitrail.bench.gpu.serve import server_on
    from vitrail.bench.serve.client import ask
    from vitrail.bench.serve.servers import started
    from vitrail.bench.serve.uploads import uploads

    model = Classifier(seeded_file, "cpu")
    with started(server_on("cuda"), seeded_file, tmp_path, tmp_path / "server") as running:
        status, body = ask(running.port, "GET", "/readyz")
        assert (status, json.loads(body)) == (200, {"ready": True, "provider": PROVIDERS["cuda"], "reason": None})
        upload = uploads(model.card.input.size, seed=0)[0]
        expected = {label.index: label.probability for label in model.classify(upload)}
        assert running.predict(upload) == pytest.approx(expected, abs=1e-4)
