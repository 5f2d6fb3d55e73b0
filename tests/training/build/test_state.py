"""Tests of a build's state: it comes back as it was, the simpler model wins ties, and other folders are refused."""

from pathlib import Path

import pytest

from vitrail.errors import UsageError
from vitrail.training.build.state import State, Trained, Workshop

PROBE = Trained("a", "ViT", "linear probe", ".build/a/probe.ckpt", 8, 10, 1.5, flips=False)
TUNED = Trained("a", "ViT", "fine-tuned", ".build/a/best.ckpt", 8, 10, 9.0, 40, ((20, 0.7), (40, 0.8)))


def test_the_state_comes_back_as_it_was(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "model")
    state = workshop.open({"seed": 0}).with_trained(PROBE).with_trained(TUNED)
    workshop.save(state)
    assert workshop.open({"seed": 0}) == state


def test_the_simpler_model_wins_a_tie() -> None:
    state = State({}, (PROBE, TUNED))
    assert state.best == PROBE
    better = Trained(**{**TUNED.__dict__, "hits": 9})
    assert state.with_trained(better).best == better
    assert len(state.with_trained(better).trained) == 2


def test_a_build_that_ended_before_its_first_network_begins_anew(tmp_path: Path) -> None:
    """A full disk, say: its checkpoint was not written, nor a state."""
    workshop = Workshop(tmp_path)
    (workshop.folder / "deit_tiny_patch16_224").mkdir(parents=True)
    assert workshop.open({"seed": 0}) == State({"seed": 0})


def test_other_folders_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="is no build in progress"):
        Workshop(tmp_path).open({})
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_build_goes_on_with_the_same_options_only(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "model")
    workshop.save(workshop.open({"seed": 0, "path": "a"}))
    with pytest.raises(UsageError, match="with another seed"):
        workshop.open({"seed": 1, "path": "a"})
    workshop.save(State({"seed": 0, "path": "a"}, is_complete=True))
    with pytest.raises(UsageError, match="holds a finished model"):
        workshop.open({"seed": 0, "path": "a"})
