"""Contenders wait for their turns in processes of their own, and leave none behind."""

import os
from pathlib import Path
from typing import Any

import pytest

from vitrail.bench.train import sessions
from vitrail.bench.train.plan import Plan, Setup
from vitrail.bench.train.sessions import Group, Session, ended
from vitrail.errors import VitrailError

# Contenders of a module of their own: other processes cannot import a test.
CONTENDERS = """
import time
def busy(setup, part, turns):
    for _ in turns:
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass
def idle(setup, part, turns):
    for _ in turns:
        time.sleep(0.2)
def ends(setup, part, turns):
    next(turns)
def meets(setup, part, turns):
    other = "second" if part == "first" else "first"
    for number, _ in enumerate(turns):
        if (number, part) == (1, "second"):
            return
        (setup.folder / f"{part} {number}").touch()
        while not (setup.folder / f"{other} {number}").exists():
            time.sleep(0.01)
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "contenders_of_a_test.py").write_text(CONTENDERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sessions, "MODULES", [])
    import contenders_of_a_test  # type: ignore[import-not-found]

    return contenders_of_a_test


def test_turns_have_wall_and_cpu_time_of_their_process_alone(module: Any, tmp_path: Path) -> None:
    setup = Setup(Plan(photos=""), tmp_path)
    running = {("", name): Session(name, getattr(module, name), setup, "part") for name in ("busy", "idle")}
    with ended(running):
        busy, idle = ([session.turn() for _ in range(2)] for session in running.values())
    assert all(cost.seconds >= 0.2 for cost in (*busy, *idle))
    assert all(cost.cpu_seconds >= 0.15 for cost in busy)
    assert all(cost.cpu_seconds < 0.1 for cost in idle)
    assert not any(is_running(session.process.pid) for session in running.values())


def test_contender_that_ends_early_is_an_error(module: Any, tmp_path: Path) -> None:
    session = Session("ours", module.ends, Setup(Plan(photos=""), tmp_path), "both")
    with ended({("", ""): session}), pytest.raises(VitrailError, match="'ours, both' has ended before its last turn"):
        session.turn()


def test_a_group_takes_its_turn_at_once_and_ends_with_the_first_that_does(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for the other, and one for ever once the other has ended."""
    monkeypatch.setattr(sessions, "GRACE", 0.2)
    setup = Setup(Plan(photos=""), tmp_path)
    group = Group([Session("one of two", module.meets, setup, part) for part in ("first", "second")])
    with ended({("", ""): group}):
        assert group.turn().cpu_seconds >= 0.35  # of both
        with pytest.raises(VitrailError, match="'one of two, second' has ended before its last turn"):
            group.turn()
    assert not any(is_running(session.process.pid) for session in group.sessions)


def is_running(process: int | None) -> bool:
    return os.path.exists(f"/proc/{process}")
