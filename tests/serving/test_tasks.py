"""Servers of models of every task, over real sockets; every response is checked against /docs.json."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from vitrail.model_file.classifier import Classifier
from vitrail.serving.settings import model_name
from vitrail.tasks.task import TaskName

from ..builtin_sets import EVERY_TASK, set_of
from ..servers import Server, Start

URL = "/v1/classify"
Served = tuple[httpx.Client, Classifier]


def png(task: TaskName, index: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(set_of(task).whole("test", index)).save(file, "PNG")
    return file.getvalue()


SIDES: dict[TaskName, list[int]] = {
    "multilabel": [10],
    "regression": [2],
    "dense": [6, 6, 11],
    "dense-regression": [6, 6, 2],
    "sequence": [3, 11],
    "detection": [8, 15],
}


@pytest.fixture(scope="module", params=EVERY_TASK)
def model(request: pytest.FixtureRequest, task_folder: Callable[[str], Path]) -> Path:
    return task_folder(request.param) / "model.onnx"


@pytest.fixture(scope="module")
def served(
    model: Path, start: Start, bentoml_serve: list[str], contract_client_of: Callable[[Server], httpx.Client]
) -> Iterator[Served]:
    settings = {"VITRAIL_MODEL": str(model), "VITRAIL_PROVIDER": "cpu", "VITRAIL_WAIT": "60"}
    with start(bentoml_serve, **settings) as server, contract_client_of(server) as client:
        yield client, Classifier(model, "cpu")


def test_predictions_of_every_task(served: Served) -> None:
    client, classifier = served
    task = classifier.card.task
    images = [png(task, 0), b"no image", png(task, 1)]
    response = client.post(URL, files=[("image", ("image", data)) for data in images])
    assert response.status_code == 200
    first, bad, last = response.json()["predictions"]
    assert bad["error"]["code"] == "unsupported_format"
    for prediction, data in ((first, images[0]), (last, images[2])):
        row = classifier.predict(classifier.fit(data)[None]).row(0)
        if task == "multilabel":
            assert [label["index"] for label in prediction["labels"]] == np.argsort(-row["probabilities"]).tolist()
            shares = [label["probability"] for label in prediction["labels"]]
            np.testing.assert_allclose(shares, np.sort(row["probabilities"])[::-1], atol=1e-6)
        elif task == "regression":
            assert [one["name"] for one in prediction["values"]] == ["digits", "sum"]
            np.testing.assert_allclose([one["value"] for one in prediction["values"]], row["values"], rtol=1e-5)
        elif task == "dense-regression":
            assert [one["name"] for one in prediction["maps"]] == ["digits", "sum"]
            maps = np.stack([one["values"] for one in prediction["maps"]], axis=-1)
            np.testing.assert_allclose(maps, row["values"], rtol=1e-5)
        elif task == "sequence":
            best, shares = row["probabilities"].argmax(-1), row["probabilities"].max(-1)
            count = int((best == 10).argmax()) if (best == 10).any() else 3
            assert [label["index"] for label in prediction["sequence"]] == best[:count].tolist()
            np.testing.assert_allclose(prediction["probability"], shares[: count + 1].prod(), rtol=1e-5)
        elif task == "detection":
            expected = classifier.payload(row)["boxes"]
            assert [box["label"] for box in prediction["boxes"]] == [box["label"] for box in expected]
            for box, other in zip(prediction["boxes"], expected, strict=True):
                np.testing.assert_allclose(box["box"], other["box"], atol=1e-5)
        else:
            best = row["probabilities"].argmax(-1)
            assert prediction["grid"]["labels"] == [[classifier.card.classes[i] for i in across] for across in best]
            np.testing.assert_allclose(prediction["grid"]["probabilities"], row["probabilities"].max(-1), atol=1e-6)


def test_top_k_is_for_labels(served: Served) -> None:
    client, classifier = served
    response = client.post(f"{URL}?top_k=2", content=png(classifier.card.task, 0))
    if classifier.card.task == "multilabel":
        assert len(response.json()["predictions"][0]["labels"]) == 2
        assert client.post(f"{URL}?top_k=11", content=b"").json()["code"] == "bad_top_k"
    else:
        assert (response.status_code, response.json()["code"]) == (400, "bad_top_k")
        assert response.json()["detail"].endswith(f"this model's task is {classifier.card.task}")


def test_abstain_is_for_classification(served: Served) -> None:
    client, classifier = served
    response = client.post(f"{URL}?abstain=true", content=png(classifier.card.task, 0))
    assert (response.status_code, response.json()["code"]) == (400, "bad_abstain")


def test_tensors_match_the_model_file(served: Served) -> None:
    client, classifier = served
    task = classifier.card.task
    address = f"/v2/models/{model_name(classifier.card)}"
    outputs = client.get(address).json()["outputs"]
    expected = {name: [-1, 64] if name == "embedding" else [-1, *SIDES[task]] for name in classifier.task.outputs}
    assert {output["name"]: output["shape"] for output in outputs} == expected
    canvases = np.stack([set_of(task).whole("test", i) for i in range(3)])
    image = {"name": "image", "datatype": "UINT8", "shape": list(canvases.shape), "data": canvases.ravel().tolist()}
    tensors = client.post(f"{address}/infer", json={"inputs": [image]}).json()["outputs"]
    expected_columns = classifier.predict(canvases).columns
    assert [output["name"] for output in tensors] == list(expected_columns)
    for output in tensors:
        actual = np.array(output["data"]).reshape(output["shape"])
        np.testing.assert_allclose(actual, expected_columns[output["name"]], rtol=1e-4, atol=1e-5)
    wanted = {"name": classifier.task.outputs[0], "parameters": {"classification": 2}}
    best = client.post(f"{address}/infer", json={"inputs": [image], "outputs": [wanted]})
    assert best.status_code == (200 if task == "multilabel" else 400)
    other = {"name": "logits" if "logits" not in classifier.task.outputs else "values"}
    refused = client.post(f"{address}/infer", json={"inputs": [image], "outputs": [other]})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_output")


def test_embed_and_model_work_for_any_task(served: Served) -> None:
    client, classifier = served
    task = classifier.card.task
    vector = client.post("/v1/embed", content=png(task, 0)).json()["predictions"][0]["embedding"]
    expected = classifier.predict(classifier.fit(png(task, 0))[None]).embedding[0]
    np.testing.assert_allclose(vector, expected, rtol=1e-4, atol=1e-5)
    assert client.get("/v1/model").json()["card"]["task"] == task
    assert client.post("/v1/explain", content=png(task, 0)).json()["code"] == "no_explain_graph"
    assert client.get("/").status_code == 200
