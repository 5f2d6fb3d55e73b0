"""OpenVINO: what it needs, and that it computes what onnxruntime does, from any number of threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import vitrail
from vitrail.errors import ModelError, ProviderError, UsageError
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.golden_check import check_golden
from vitrail.runtime import openvino
from vitrail.runtime.openvino import OPENVINO, CompiledGraph
from vitrail.runtime.providers import Provider, choose_providers

RANDOM = np.random.default_rng(0)
CANVASES = RANDOM.integers(0, 256, (40, 8, 8, 3), np.uint8)
BF16_ERROR = 0.1  # of logits


@pytest.fixture
def with_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any CPU: one without bfloat16 computes in float32 where it is asked for it."""
    monkeypatch.setattr(openvino, "computes_bf16", lambda: True)


@pytest.mark.usefixtures("with_bf16")
@pytest.mark.parametrize(("provider", "bound"), [("openvino", 1e-5), ("openvino-bf16", BF16_ERROR)])
def test_canvases_in_batches_of_any_size_have_onnxruntimes_outputs(
    model_file: Path, provider: Provider, bound: float
) -> None:
    reference, model = Classifier(model_file, "cpu"), Classifier(model_file, provider)
    assert model.provider == OPENVINO[provider]
    assert check_golden(model).passed
    expected = reference.predict(CANVASES)
    begin = 0
    for size in (1, 2, 3, 5, 8, 1, 20):
        batch = model.predict(CANVASES[begin : begin + size])
        for name, table in expected.columns.items():
            assert batch.columns[name].shape == table[begin : begin + size].shape
        np.testing.assert_allclose(batch.logits, expected.logits[begin : begin + size], rtol=0, atol=bound)
        np.testing.assert_allclose(batch.probabilities.sum(axis=1), 1, atol=1e-5)
        begin += size


def test_what_is_no_canvas_stays_with_onnxruntime(model_file: Path) -> None:
    """Its resize in the graph is another than onnxruntime's when it shrinks."""
    reference, model = Classifier(model_file, "cpu"), Classifier(model_file, "openvino")
    large = RANDOM.integers(0, 256, (2, 50, 31, 3), np.uint8)
    np.testing.assert_array_equal(model.predict(large).logits, reference.predict(large).logits)
    model.for_canvases.run = None  # type: ignore[assignment, method-assign]
    model.predict(large)
    with pytest.raises(TypeError, match="not callable"):
        model.predict(CANVASES)


def test_results_are_each_threads_own(model_file: Path) -> None:
    model = Classifier(model_file, "openvino", 1)
    batches = [CANVASES[begin : begin + 1 + begin % 3] for begin in range(30)]
    expected = [model.predict(batch).logits for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for logits, batch in zip(pool.map(lambda each: model.predict(each).logits, batches), expected, strict=True):
                np.testing.assert_allclose(logits, batch, atol=1e-6)


def test_a_result_is_not_overwritten_by_the_next(model_file: Path) -> None:
    model = Classifier(model_file, "openvino")
    first = model.predict(CANVASES[:2])
    kept = first.logits.copy()
    model.predict(CANVASES[2:4])
    np.testing.assert_array_equal(first.logits, kept)


def test_python_takes_it_by_name_only(model_file: Path) -> None:
    with vitrail.load(model_file, "openvino") as model:
        assert (model.provider, repr(model).endswith("OpenVINO>")) == ("OpenVINO", True)
        assert model.classify(CANVASES[0]).label == vitrail.load(model_file, "cpu").classify(CANVASES[0]).label
    with vitrail.load(model_file) as model:
        assert "OpenVINO" not in model.provider


def test_each_missing_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "computes_bf16", lambda: False)
    assert choose_providers("openvino") == ["CPUExecutionProvider"]
    with pytest.raises(ProviderError, match="'openvino-bf16' was requested, but this CPU has no bfloat16"):
        choose_providers("openvino-bf16")
    monkeypatch.setattr(openvino, "has_openvino", lambda: False)
    with pytest.raises(ProviderError, match=r"not installed: pip install 'vitrail\[openvino\]'"):
        choose_providers("openvino")


def test_a_file_that_it_cannot_read_is_an_error_of_one_line(model_file: Path) -> None:
    whole = model_file.read_bytes()
    for content in (b"", b"no model", whole[: len(whole) // 2]):
        with pytest.raises(ModelError, match=r"OpenVINO cannot compile this file: \S") as caught:
            CompiledGraph(content, 8, "openvino", 1)
        assert "\n" not in str(caught.value)


def test_a_batch_that_fails_is_named(model_file: Path) -> None:
    graph = CompiledGraph(model_file, 8, "openvino", 1)
    with pytest.raises(ModelError, match=r"OpenVINO fails on a batch of 3: \S"):
        graph.run(["probabilities"], {"image": np.zeros([3, 9, 8, 3], np.uint8)})
    assert len(graph.run(["probabilities"], {"image": CANVASES})[0]) == len(CANVASES)


def test_models_of_any_shape_are_refused(model_file: Path) -> None:
    model = Classifier(model_file, "cpu")
    native = type(model.card.input)(8, "native", patch=2)
    object.__setattr__(model.card, "input", native)
    with pytest.raises(UsageError, match="this model takes images of any: choose cpu"):
        model.graph_for_canvases("openvino", 1)
