"""Messages are read as they were written."""

import pytest

from vitrail.serving.processes.messages import HEAD, MAX_CALLER, MAX_TEXT, Kind, Results, Work, error, text_of


@pytest.mark.parametrize("caller", ["", "192.0.2.1", "ünknown\udcff"])
def test_work(caller: str) -> None:
    work = Work(Kind.PREDICT, 2**32 - 1, 2**40, 2**33, 3, 224, 160, 7, b"t" * 16, b"s" * 8, caller)
    read = Work.decode(work.encode())
    assert read == work._replace(caller=caller.encode(errors="replace").decode())
    assert read.shape == (3, 224, 160, 3)


def test_a_caller_of_any_length() -> None:
    work = Work(Kind.EXPLAIN, 1, 0, 1, 1, 8, 8, 0, bytes(16), bytes(8), "a" * 70_000)
    assert len(Work.decode(work.encode()).caller) == MAX_CALLER


@pytest.mark.parametrize("shapes", [[], [(3, 10)], [(1, 2), (1,), (4, 5, 6, 7), (0, 3)]])
def test_results(shapes: list[tuple[int, ...]]) -> None:
    results = Results(shapes)
    message = results.encode(9)
    assert HEAD.unpack_from(message) == (Kind.DONE, 9)
    assert Results.decode(message) == results
    assert Results([(2, 3), (4,)]).size == 40


def test_errors() -> None:
    message = error(Kind.BUSY, 5, "é" * MAX_TEXT)
    assert HEAD.unpack_from(message) == (Kind.BUSY, 5)
    assert text_of(message).startswith("ééé")
    assert len(message) <= HEAD.size + MAX_TEXT
