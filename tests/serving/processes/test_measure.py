"""How many processes answer, by what was measured."""

import logging
from pathlib import Path

import pytest

from vitrail.serving.processes.measure import best_count, measured_count


@pytest.mark.parametrize(
    ("cores", "answer", "image", "on_cpu", "count"),
    [
        (1, 0.0005, 0.0001, True, 1),
        (2, 0.0005, 0.0001, True, 2),
        (2, 0.0005, 0.0004, True, 2),  # each computes it itself
        (16, 0.0005, 0.0009, True, 16),
        (2, 0.0005, 0.0015, True, 1),  # two cores have no more to give
        (16, 0.0005, 0.010, True, 1),  # a ViT-Tiny on a CPU
        (16, 0.0005, 0.001, True, 5),
        (16, 0.0005, 0.00005, False, 10),  # on a GPU: as many as it can compute
        (16, 0.0005, 0.001, False, 1),
        (128, 0.0005, 0.0001, True, 64),
    ],
)
def test_several_only_where_they_answer_more(cores: int, answer: float, image: float, on_cpu: bool, count: int) -> None:
    assert best_count(cores, answer, image, on_cpu=on_cpu) == count


def test_a_process_measures_the_model(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VITRAIL_MODEL", str(model_file))
    monkeypatch.setenv("VITRAIL_PROVIDER", "cpu")
    monkeypatch.setenv("VITRAIL_PROCESSES", "auto")
    with caplog.at_level(logging.INFO, "bentoml.vitrail"):
        assert measured_count() in (1, 2, 3, 4)
    (line,) = caplog.messages
    assert "ms of a core without the model" in line


def test_what_cannot_be_measured_is_served_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    monkeypatch.setenv("VITRAIL_MODEL", str(tmp_path / "model.onnx"))
    monkeypatch.setenv("VITRAIL_PROVIDER", "cpu")
    with caplog.at_level(logging.INFO, "bentoml.vitrail"):
        assert measured_count() == 1
    assert "cut short" in caplog.messages[0]
