"""POST /v1/explain: the library's evidence, drawn on request; and servers without an explain file."""

import asyncio
import io
import json
import shutil
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitrail.model_file.classifier import Classifier
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import Explanation, explain_path
from vitrail.plots.overlay import COLD, SIDE, WARM, draw_overlay
from vitrail.serving.engine import inference as module
from vitrail.serving.engine.engine import Engine
from vitrail.serving.engine.inference import MAX_EXPLAIN_WAITING, LocalInference
from vitrail.serving.http.problems import Problem

from ..conftest import Encode
from ..engines import local_engine

URL = "/v1/explain"
Load = Callable[[Path], Coroutine[Any, Any, Engine]]


@pytest.fixture(scope="module")
def explainer(explained_file: Path) -> Explainer:
    return Explainer(Classifier(explained_file, "cpu"), provider="cpu")


def same(evidence: Any, explanation: Explanation) -> bool:
    return bool(np.allclose(evidence, explanation.evidence, atol=1e-4) and np.std(evidence) > 0)


def test_the_evidence_for_a_label(explaining_client: httpx.Client, encode: Encode, explainer: Explainer) -> None:
    for label in ("0", "7"):
        response = explaining_client.post(URL, params={"label": label}, files={"image": encode()})
        assert response.status_code == 200
        body = response.json()
        assert set(body) == {"model", "label", "kind", "evidence"}
        assert body["model"]["sha256"] == explainer.classifier.sha256
        assert (body["label"], body["kind"]) == (label, "exact")
        assert same(body["evidence"], explainer.explain(encode(), label))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_most_probable_label_unless_another_is_named(
    explaining_client: httpx.Client, encode: Encode, explainer: Explainer, seed: int
) -> None:
    image = encode(seed=seed)
    body = explaining_client.post(URL, content=image).json()
    (best,) = explainer.classifier.classify(image, 1)
    assert body["label"] == best.label
    assert same(body["evidence"], explainer.explain(image, best.label))


def test_exact_evidence_adds_up_to_the_logit(
    explaining_client: httpx.Client, encode: Encode, explainer: Explainer
) -> None:
    body = explaining_client.post(URL, content=encode(), params={"label": "3"}).json()
    model = explainer.classifier
    assert np.mean(body["evidence"]) == pytest.approx(model.predict(model.fit(encode())[None]).logits[0, 3], abs=1e-4)


def test_the_overlay_is_a_png_of_the_whole_canvas(
    explaining_client: httpx.Client, encode: Encode, explainer: Explainer
) -> None:
    body = explaining_client.post(URL, content=encode(), params={"overlay": "png", "label": "3"}).json()
    drawing = Image.open(io.BytesIO(b64decode(body["overlay"])))
    assert (drawing.format, drawing.mode, drawing.size) == ("PNG", "RGB", (SIDE, SIDE))
    expected = draw_overlay(explainer.classifier.fit(encode()), explainer.explain(encode(), "3").evidence)
    assert np.abs(np.array(drawing).astype(int) - np.array(expected).astype(int)).max() <= 1


def test_json_gives_the_same_response_as_a_form(explaining_client: httpx.Client, encode: Encode) -> None:
    form = explaining_client.post(URL, files={"image": encode()})
    response = explaining_client.post(URL, json={"images": [{"b64": b64encode(encode()).decode()}]})
    assert response.json() == form.json()


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"label": "cat"}, "unknown_label"),
        ({"label": ""}, "unknown_label"),
        ({"label": "x" * 5000}, "unknown_label"),
        ({"overlay": "jpeg"}, "bad_overlay"),
        ({"overlay": ""}, "bad_overlay"),
        ({"overlay": "PNG"}, "bad_overlay"),
    ],
)
def test_parameters_that_cannot_be_read(
    explaining_client: httpx.Client, encode: Encode, params: dict[str, str], code: str
) -> None:
    response = explaining_client.post(URL, content=encode(), params=params)
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert len(response.content) < 1000


def test_one_image_at_a_time(explaining_client: httpx.Client, encode: Encode) -> None:
    response = explaining_client.post(URL, files=[("image", encode()), ("image", encode())])
    assert (response.status_code, response.json()["code"]) == (400, "one_image")


def test_bad_image_has_the_usual_error(explaining_client: httpx.Client, encode: Encode) -> None:
    for data, status, code in [(b"no", 415, "unsupported_format"), (encode()[:90], 422, "corrupt_image")]:
        response = explaining_client.post(URL, content=data)
        assert (response.status_code, response.json()["code"]) == (status, code)


def test_labels_and_explanations_at_once(explaining_client: httpx.Client, encode: Encode, explainer: Explainer) -> None:
    images = [encode(seed=seed) for seed in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        explained = pool.map(lambda data: explaining_client.post(URL, content=data, params={"label": "1"}), images)
        labelled = pool.map(lambda data: explaining_client.post("/v1/classify", content=data), images)
        rows = list(zip(images, explained, labelled, strict=True))
    for image, explanation, label in rows:
        assert same(explanation.json()["evidence"], explainer.explain(image, "1"))
        assert label.json()["predictions"][0]["labels"][0]["label"] == explainer.classifier.classify(image)[0].label


def test_model_route_describes_explanations(
    explaining_client: httpx.Client, client: httpx.Client, explainer: Explainer
) -> None:
    explanations = explaining_client.get("/v1/model").json()["explanations"]
    card = explainer.card.evidence
    assert explanations == {"kind": "exact", "grid": list(card.grid), "rule": card.rule}
    assert client.get("/v1/model").json()["explanations"] is None


def test_explain_time_is_measured(explaining_client: httpx.Client, encode: Encode) -> None:
    def count() -> float:
        lines = explaining_client.get("/metrics").text.splitlines()
        (count_line,) = [line for line in lines if line.startswith('vitrail_stage_seconds_count{stage="explain"}')]
        return float(count_line.split()[1])

    explaining_client.post(URL, content=encode())
    before = count()
    explaining_client.post(URL, content=encode())
    assert count() == before + 1


def test_without_an_explain_file(client: httpx.Client, encode: Encode) -> None:
    response = client.post(URL, content=encode())
    assert (response.status_code, response.json()["code"]) == (404, "no_explain_graph")
    assert "vitrail export --explain" in response.json()["detail"]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads a model file into an engine of this process, which is closed after the test."""
    engines: list[Engine] = []

    async def load(path: Path) -> Engine:
        monkeypatch.setenv("VITRAIL_MODEL", str(path))
        monkeypatch.setenv("VITRAIL_PROVIDER", "cpu")
        engine, _ = local_engine()
        await engine.load("here")
        engines.append(engine)
        return engine

    yield load
    for engine in engines:
        asyncio.run(engine.close())


def foreign(model: Path, explained: Path, folder: Path) -> Path:
    shutil.copy(explain_path(explained), explain_path(folder / "model.onnx"))
    return Path(shutil.copy(model, folder / "model.onnx"))


def altered(explained: Path, folder: Path) -> Path:
    data = bytearray(explain_path(explained).read_bytes())
    data[len(data) // 2] ^= 1
    explain_path(folder / "model.onnx").write_bytes(data)
    return Path(shutil.copy(explained, folder / "model.onnx"))


def text(explained: Path, folder: Path) -> Path:
    explain_path(folder / "model.onnx").write_text(json.dumps({}))
    return Path(shutil.copy(explained, folder / "model.onnx"))


def test_unusable_explain_file_does_not_affect_labels(
    loaded: Load,
    model_file: Path,
    explained_file: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    encode: Encode,
) -> None:
    folders = [tmp_path / name for name in ("foreign", "altered", "text")]
    for folder in folders:
        folder.mkdir()
    paths = [
        foreign(model_file, explained_file, folders[0]),
        altered(explained_file, folders[1]),
        text(explained_file, folders[2]),
    ]
    for path, reason in zip(paths, ["explains a model file other than", "", "is not an ONNX file"], strict=True):
        caplog.clear()
        engine = asyncio.run(loaded(path))
        assert engine.ready().path == path
        with pytest.raises(Problem, match=reason) as caught:
            engine.require_explanations()
        assert (caught.value.status, caught.value.code) == (404, "no_explain_graph")
        (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
        assert warning.getMessage() == f"no explanations: {caught.value}"


def test_predictions_wait_for_at_most_one_explanation(
    loaded: Load, explained_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prediction that comes during the first of four explanations runs next."""
    order: list[str] = []
    may_end = threading.Event()
    run_explainer, run_batch = module.run_explainer, module.run_batch

    def explained(*args: Any) -> Any:
        assert may_end.wait(30)
        order.append("explanation")
        return run_explainer(*args)

    def labelled(*args: Any) -> Any:
        order.append("label")
        return run_batch(*args)

    monkeypatch.setattr(module, "run_explainer", explained)
    monkeypatch.setattr(module, "run_batch", labelled)

    async def both() -> None:
        engine = await loaded(explained_file)
        canvas = np.zeros((8, 8, 3), np.uint8)
        explaining = [asyncio.ensure_future(engine.explain(canvas, 0)) for _ in range(4)]
        await asyncio.sleep(0)
        predicting = asyncio.ensure_future(engine.predict([canvas]))
        inference = engine.inference
        assert isinstance(inference, LocalInference)
        while not inference.worker._work_queue.qsize():
            await asyncio.sleep(0.001)
        may_end.set()
        await asyncio.gather(predicting, *explaining)

    asyncio.run(both())
    assert order == ["explanation", "label", "explanation", "explanation", "explanation"]


def test_too_many_waiting_explanations_are_refused(loaded: Load, explained_file: Path) -> None:
    async def crowd() -> list[object]:
        engine = await loaded(explained_file)
        canvas = np.zeros((8, 8, 3), np.uint8)
        calls = [engine.explain(canvas, 0) for _ in range(MAX_EXPLAIN_WAITING + 3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert (await engine.explain(canvas, 0)).shape == (4, 4)  # later requests are served
        return list(results)

    results = asyncio.run(crowd())
    refusals = [one for one in results if isinstance(one, Problem)]
    assert [(one.status, one.code, one.headers) for one in refusals] == [(503, "busy", {"retry-after": "1"})] * 3
    assert len(results) - len(refusals) == MAX_EXPLAIN_WAITING


def drawn(evidence: list[list[float]], value: int = 128, size: int = 8) -> NDArray[np.int_]:
    canvas = np.full((size, size, 3), value, np.uint8)
    return np.array(draw_overlay(canvas, np.array(evidence, np.float32))).astype(int)


def test_overlay_colours() -> None:
    image = drawn([[4, -4]])
    left, right = image[:, 0], image[:, -1]
    for half, colour in ((left, WARM), (right, COLD)):
        assert np.abs(half - np.array(colour)).sum(1).max() < np.abs(image[:, 112] - np.array(colour)).sum(1).min()
    red, blue = left[0, 0] - left[0, 2], right[0, 2] - right[0, 0]
    assert red > 100
    assert blue > 100


def test_overlay_is_neutral_at_zero() -> None:
    """No evidence gives no tint; weak evidence for a label is not drawn as evidence against it."""
    plain = drawn([[0, 0]])
    assert (plain == plain[0, 0, 0]).all()
    weak = drawn([[1, 10]])
    assert (weak[:, :, 0] >= weak[:, :, 2]).all()
    assert (weak[:, 0, 0] - weak[:, 0, 2] < weak[:, -1, 0] - weak[:, -1, 2]).all()


def test_overlay_is_scale_invariant() -> None:
    assert (drawn([[3, -1], [0, 2]]) == drawn([[0.003, -0.001], [0, 0.002]])).all()


@pytest.mark.parametrize(("size", "side"), [(8, 224), (28, 224), (60, 240), (224, 224), (300, 300)])
def test_overlay_has_a_minimum_size(size: int, side: int) -> None:
    assert drawn([[1, 0], [0, -1]], size=size).shape == (side, side, 3)


def test_overlay_keeps_pixels_square() -> None:
    canvas = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    image = np.array(draw_overlay(canvas, np.zeros((4, 4), np.float32)))
    assert (image == image[::28, ::28].repeat(28, 0).repeat(28, 1)).all()
