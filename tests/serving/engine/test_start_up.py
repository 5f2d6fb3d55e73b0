"""How many cores a network gets at start-up."""

from pathlib import Path

import pytest

from vitrail.model_file.classifier import Classifier
from vitrail.serving.engine import start_up

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
