"""Accuracy over HTTP equals that of `vitrail test`."""

import io
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.images.canvas import InputRule
from vitrail.model_file.classifier import Classifier


def test_served_predictions_equal_the_measured_ones(
    client: httpx.Client, run_directory: Path, checkpoint: Path, model_file: Path
) -> None:
    assert main(["test", f"--ckpt_path={checkpoint}"]) == 0
    saved = np.load(run_directory / "predictions.npz")
    images = [as_png(image) for image in Digits().read("test", InputRule(8)).images]
    rows = [row for start in range(0, len(images), 32) for row in probabilities_of(client, images[start : start + 32])]
    probabilities = np.array(rows)
    assert np.array_equal(probabilities.argmax(1), saved["probabilities"].argmax(1))
    calibration = Classifier(model_file).card.calibration
    assert calibration is not None
    tempered = saved["probabilities"] ** (1 / calibration.temperature)
    np.testing.assert_allclose(probabilities, tempered / tempered.sum(axis=1, keepdims=True), atol=1e-5)


def as_png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def probabilities_of(client: httpx.Client, images: list[bytes]) -> list[list[float]]:
    """The probabilities of every class, in the order of the classes, for each image."""
    response = client.post("/v1/classify?top_k=10", files=[("image", image) for image in images]).json()
    rows: list[list[float]] = []
    for prediction in response["predictions"]:
        labels = sorted(prediction["labels"], key=lambda label: int(label["index"]))
        rows.append([label["probability"] for label in labels])
    return rows
