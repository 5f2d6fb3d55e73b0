"""How many cores a network gets at start-up, and which runtime."""

from dataclasses import replace
from pathlib import Path

import pytest

from vitrail.errors import ModelError
from vitrail.model_file.card import InOpenVINO
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.golden_check import GoldenCheck, Part
from vitrail.runtime import openvino
from vitrail.runtime.providers import PROVIDERS
from vitrail.serving.engine import start_up
from vitrail.tasks.intervals import wilson

SECONDS = {  # by batch size
    "shared work is slower": ({1: 0.0003, 32: 0.0040}, {1: 0.0001, 32: 0.0030}, True),
    "it pays in large batches": ({1: 0.0003, 32: 0.0020}, {1: 0.0001, 32: 0.0030}, False),
    "it pays for one image": ({1: 0.0020, 32: 0.0040}, {1: 0.0030, 32: 0.0030}, False),
    "the network is not tiny": ({1: 0.0200, 32: 0.6000}, {1: 0.0100, 32: 0.3000}, False),
}


@pytest.mark.parametrize(("shared", "alone", "single"), SECONDS.values(), ids=SECONDS)
def test_network_gets_one_core_if_more_do_not_help(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, shared: dict[int, float], alone: dict[int, float], single: bool
) -> None:
    """With fake times: the rule is tested, not this machine."""
    model = Classifier(model_file, "cpu")
    monkeypatch.setattr(start_up, "usable_cores", lambda: 2)
    monkeypatch.setattr(start_up, "best_time", lambda measured, size: (shared if measured is model else alone)[size])
    chosen = start_up.single_threaded_if_as_fast(model)
    assert (chosen is not model) == single
    assert chosen.session.get_session_options().intra_op_num_threads == (1 if single else model_threads(model))


def model_threads(model: Classifier) -> int:
    return int(model.session.get_session_options().intra_op_num_threads)


def test_one_core_is_not_compared_with_itself(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Classifier(model_file, "cpu")
    monkeypatch.setattr(start_up, "usable_cores", lambda: 1)
    monkeypatch.setattr(start_up, "best_time", lambda measured, size: pytest.fail("measured"))
    assert start_up.single_threaded_if_as_fast(model) is model


CPU = PROVIDERS["cpu"]
SOUND = InOpenVINO(
    version="1",
    processor="",
    accuracy=wilson(900, 1000),
    loss=0.001,
    loss_bound=0.002,
    flips=4,
    flip_margin=0.01,
    probability_difference=0.02,
    speed={"1": 2.0, "8": 2.0},
    bounds={"loss": 0.005, "flips": 0.01, "flip_margin": 0.02},
    verdict="sound",
)


@pytest.fixture
def measured(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Classifier:
    """A model whose card has a sound comparison, on a machine with bfloat16 where OpenVINO is twice as fast."""
    model = Classifier(model_file, "cpu", 1)
    object.__setattr__(model.card, "openvino", SOUND)
    monkeypatch.delenv("VITRAIL_PROVIDER", raising=False)
    monkeypatch.setattr(openvino, "computes_bf16", lambda: True)
    monkeypatch.setattr(start_up, "best_time", lambda measured, size: 2.0 if measured is model else 1.0)
    return model


def test_auto_takes_openvino_where_it_is_faster_and_sound(
    measured: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bentoml.vitrail")
    chosen = start_up.rounding_if_faster(measured)
    assert (chosen.provider, chosen.threads) == ("OpenVINO bf16", 1)
    assert f"2.00 × as fast as {CPU} at batch 1, 2.00 × as fast as {CPU} at batch 8" in caplog.text
    assert "4 of 1,000 labels flip (at most 1%), of leads to 0.010 (at most 0.02)" in caplog.text
    assert "0.10 points of accuracy are lost (at most 0.5)" in caplog.text
    assert start_up.fallback_reason(chosen) == "provider 'auto' found no GPU that onnxruntime can use"


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_provider_requested_by_name_stays(
    measured: Classifier, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setenv("VITRAIL_PROVIDER", provider)
    assert start_up.rounding_if_faster(measured) is measured


@pytest.mark.parametrize(
    ("compared", "reason"),
    [
        (None, "the file was exported without OpenVINO"),
        (
            replace(SOUND, verdict="3.0% of labels flip, over 1%"),
            "on the test images, with bfloat16, 3.0% of labels flip, over 1%",
        ),
    ],
    ids=["unknown", "unsound"],
)
def test_openvino_is_not_taken_without_its_accuracy(
    measured: Classifier, caplog: pytest.LogCaptureFixture, compared: InOpenVINO | None, reason: str
) -> None:
    caplog.set_level("INFO", "bentoml.vitrail")
    object.__setattr__(measured.card, "openvino", compared)
    assert start_up.rounding_if_faster(measured) is measured
    assert f"not in OpenVINO: {reason}" in caplog.text


def test_openvino_is_not_taken_where_a_batch_size_gains_nothing(
    measured: Classifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bentoml.vitrail")
    times = {1: 1.05, 8: 2.0}
    monkeypatch.setattr(start_up, "best_time", lambda model, size: times[size] if model is measured else 1.0)
    assert start_up.rounding_if_faster(measured) is measured
    assert "not in OpenVINO: 1.05 × as fast" in caplog.text


def test_openvino_is_not_taken_where_it_fails_on_a_batch(
    measured: Classifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def time(model: Classifier, size: int) -> float:
        if model is not measured and size > 1:
            raise ModelError("OpenVINO fails on a batch of 8: no memory")
        return 1.0

    caplog.set_level("INFO", "bentoml.vitrail")
    monkeypatch.setattr(start_up, "best_time", time)
    assert start_up.rounding_if_faster(measured) is measured
    assert "not in OpenVINO: OpenVINO fails on a batch of 8: no memory" in caplog.text


def test_openvino_is_not_taken_where_the_golden_check_fails(
    measured: Classifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "bentoml.vitrail")
    failed = GoldenCheck((Part("logits of canvases", 0.5, 0.1),))
    monkeypatch.setattr(start_up, "check_golden", lambda model: failed)
    assert start_up.rounding_if_faster(measured) is measured
    assert "not in OpenVINO: it differs from the model's card: logits of canvases by 5.00e-01" in caplog.text
