"""On an NVIDIA GPU: the same answers as on the CPU, and no silent way back to it."""

from pathlib import Path

import numpy as np
import pytest

from vitrail.card import InputRule
from vitrail.classifier import Classifier
from vitrail.data import Digits
from vitrail.golden_check import check_golden
from vitrail.runtime import PROVIDERS, has_nvidia_driver

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not has_nvidia_driver(), reason="there is no NVIDIA GPU on this machine"),
]


def test_the_gpu_answers_as_the_cpu_does(model_file: Path) -> None:
    pictures = Digits().read("test", InputRule(8)).images
    on_gpu, on_cpu = (Classifier(model_file, provider).answer(pictures) for provider in ("cuda", "cpu"))
    allowed = Classifier(model_file, "cpu").card.golden.tolerance[PROVIDERS["cuda"]]
    assert np.abs(on_gpu.logits - on_cpu.logits).max() <= allowed * max(1.0, float(on_cpu.logits.std()))
    assert np.array_equal(on_gpu.probabilities.argmax(1), on_cpu.probabilities.argmax(1))


def test_auto_takes_the_gpu_and_the_golden_check_passes_there(model_file: Path) -> None:
    classifier = Classifier(model_file, "auto")
    assert classifier.provider == PROVIDERS["cuda"]
    assert check_golden(classifier).passed
