"""Recordings from the folder to the endpoint: sets of vectors give the same outputs everywhere."""

import json
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.model_file.classifier import Classifier
from vitrail.sounds import BANDS, frames_of, read_samples

from ..servers import Server, Start

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "speech" / "words.yaml"
RATE, SIZE = 8000, 40  # samples a second, frames
WORDS = {"falling": (900, 500), "level": (700, 700), "rising": (500, 900)}  # frequencies at both ends
LENGTH = [f"--data.size={SIZE}", "--trainer.max_steps=60", "--trainer.val_check_interval=20", "--model.net.depth=1"]


def word(name: str, random: np.random.Generator) -> NDArray[np.int16]:
    """A tone that moves from one frequency to another, in some noise, each time higher or lower, faster or slower."""
    begin, end = np.array(WORDS[name]) * random.uniform(0.8, 1.25)
    count = int(random.integers(1200, 3200))
    phases = np.cumsum(np.linspace(begin, end, count)) * 2 * np.pi / RATE
    sound = random.uniform(0.1, 0.9) * np.sin(phases) + random.normal(0, 0.01, count)
    return (30000 * sound).clip(-32768, 32767).astype(np.int16)


def write(file: Path, samples: NDArray[np.int16]) -> None:
    with wave.open(str(file), "wb") as written:
        written.setparams((1, 2, RATE, 0, "NONE", ""))
        written.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture(scope="session")
def folder(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """`recordings` of three words, a run, and its `model.onnx`."""

    def fill(path: Path) -> None:
        random = np.random.default_rng(0)
        for name in WORDS:
            (path / "recordings" / name).mkdir(parents=True)
            for number in range(60):
                write(path / "recordings" / name / f"{number}.wav", word(name, random))
        fit = ["fit", f"--config={EXAMPLE}", *LENGTH, f"--data.path=speech:{path / 'recordings'}"]
        assert main([*fit, f"--run={path / 'run'}"]) == 0
        checkpoint = path / "run/checkpoints/best.ckpt"
        export = ["export", f"--checkpoint={checkpoint}", f"--output={path / 'model.onnx'}"]
        assert main([*export, f"--data.path=speech:{path / 'recordings'}"]) == 0

    return made_once("recordings", fill)


@pytest.fixture(scope="session")
def model(folder: Path) -> Classifier:
    return Classifier(folder / "model.onnx")


def frames(folder: Path, name: str, number: int) -> NDArray[np.float32]:
    return frames_of(read_samples((folder / "recordings" / name / f"{number}.wav").read_bytes()), RATE)


def test_words_are_learned_and_the_card_says_what_the_model_takes(model: Classifier) -> None:
    card = model.card
    assert (card.classes, card.input.width, card.input.size) == (tuple(WORDS), BANDS, SIZE)
    assert card.test_accuracy is not None
    assert card.test_accuracy.value > 0.8
    assert card.parity.flips == 0
    inputs = {one.name: (one.type, one.shape) for one in model.session.get_inputs()}
    assert inputs["vectors"] == ("tensor(float)", ["batch", "vectors", BANDS])
    assert inputs["mask"] == ("tensor(bool)", ["batch", "vectors"])


def test_a_set_in_a_batch_has_the_outputs_that_it_has_alone(model: Classifier, folder: Path) -> None:
    sets = [frames(folder, name, number) for number in range(3) for name in WORDS]
    assert len({len(one) for one in sets}) > 3
    together = model.predict(sets).logits
    for row, one in zip(together, sets, strict=True):
        assert model.predict([one]).logits[0] == pytest.approx(row, abs=1e-5)


def test_the_run_is_tested_and_the_file_verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder / "model.onnx")]) == 0
    assert "logits of sets" in capsys.readouterr().out
    recordings = f"--data.path=speech:{folder / 'recordings'}"
    assert main(["test", f"--ckpt_path={folder / 'run/checkpoints/best.ckpt'}", recordings]) == 0
    assert "falling" in capsys.readouterr().out
    assert (folder / "run" / "predictions.npz").is_file()


@pytest.fixture(scope="module")
def served(start: Start, bentoml_serve: list[str], folder: Path) -> Iterator[Server]:
    with start(
        bentoml_serve, VITRAIL_MODEL=str(folder / "model.onnx"), VITRAIL_PROVIDER="cpu", VITRAIL_WAIT="60"
    ) as one:
        yield one


def test_the_inference_protocol_takes_vectors(
    served: Server, contract_client_of: Callable[[Server], httpx.Client], folder: Path, model: Classifier
) -> None:
    one = frames(folder, "rising", 7)
    sets = np.stack([one, one[::-1]])
    tensor = {"name": "vectors", "datatype": "FP32", "shape": list(sets.shape)}
    expected = model.predict(list(sets)).logits
    with contract_client_of(served) as client:
        name = client.get("/v1/model").json()["name"]
        described = client.get(f"/v2/models/{name}").json()["inputs"]
        assert described == [{"name": "vectors", "datatype": "FP32", "shape": [-1, -1, BANDS]}]
        for data in (sets.ravel().tolist(), sets.tolist()):
            response = client.post(f"/v2/models/{name}/infer", json={"inputs": [{**tensor, "data": data}]})
            outputs = {each["name"]: each for each in response.json()["outputs"]}
            assert np.array(outputs["logits"]["data"]).reshape(2, -1) == pytest.approx(expected, abs=1e-5)
        binary = {**tensor, "parameters": {"binary_data_size": sets.nbytes}}
        head = json.dumps({"inputs": [binary]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        response = client.post(f"/v2/models/{name}/infer", content=head + sets.tobytes(), headers=headers)
        outputs = {each["name"]: each for each in response.json()["outputs"]}
        assert np.array(outputs["logits"]["data"]).reshape(2, -1) == pytest.approx(expected, abs=1e-5)


def vectors(shape: tuple[int, ...], data: Any, **others: Any) -> dict[str, Any]:
    return {"name": "vectors", "datatype": "FP32", "shape": list(shape), "data": data, **others}


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (vectors((1, 2, 3), [0.0] * 6), "FP32 vectors have the shape [N, T, 40]"),
        (vectors((1, SIZE + 1, BANDS), [0.0] * (SIZE + 1) * BANDS), "1 to 40 vectors in each"),
        (vectors((1, 1, BANDS), [0.0] * 39), "needs 40 values; there are 39"),
        (vectors((1, 1, BANDS), [[0.0] * 20] * 2), "nested as the shape"),
        (vectors((1, 1, BANDS), [1e39, *[0.0] * 39]), "not finite"),
        (vectors((1, 1, BANDS), ["0"] * 20), "must be numbers, not strings"),
        (vectors((1, 1, BANDS), [0] * 40, datatype="UINT8"), "it must be FP32"),
        (vectors((1, 1, BANDS), [0.0] * 40, name="image"), "the model has one, 'vectors'"),
    ],
)
def test_what_are_no_vectors_of_the_model_is_a_problem(
    served: Server, contract_client_of: Callable[[Server], httpx.Client], tensor: dict[str, Any], fault: str
) -> None:
    with contract_client_of(served) as client:
        name = client.get("/v1/model").json()["name"]
        response = client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
    assert response.status_code == 400
    assert fault in response.json()["detail"]


def test_images_are_refused(served: Server, contract_client_of: Callable[[Server], httpx.Client]) -> None:
    with contract_client_of(served) as client:
        for route in ("/v1/classify", "/v1/embed"):
            response = client.post(route, files=[("image", b"any")])
            assert (response.status_code, response.json()["code"]) == (415, "no_images")


@pytest.mark.parametrize(
    ("sets", "fault"),
    [
        ([], "no set of vectors"),
        ([np.zeros((3, BANDS))], "float64"),
        ([np.zeros((0, BANDS), np.float32)], "1 to 40 vectors"),
        ([np.zeros((SIZE + 1, BANDS), np.float32)], "1 to 40 vectors"),
        ([np.full((3, BANDS), np.nan, np.float32)], "not finite"),
        ([np.zeros((SIZE, SIZE, 3), np.uint8)], "uint8"),
    ],
)
def test_what_the_model_does_not_take_is_refused(model: Classifier, sets: Any, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        model.predict(sets)


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        ("--data.resize=pad", "these data are vectors and no images"),
        ("--data.crop.scale=[0.7,1.0]", "crops and augmentation are for images"),
        ("--model.mixup=0.2", "cannot be blended"),
        ("--model.statistics=images", "these data are vectors"),
        ("--precision=auto", "these data are vectors"),
        ("--model.net.stem=conv", "leave out name and stem"),
    ],
)
def test_options_of_images_are_refused(
    option: str, fault: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ["fit", f"--config={EXAMPLE}", *LENGTH, f"--data.path=speech:{folder / 'recordings'}"]
    assert main([*fit, f"--run={tmp_path / 'run'}", option]) == 2
    assert fault in capsys.readouterr().err
