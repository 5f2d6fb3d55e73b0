"""Trains a run whole, then others that signals end at seeded moments and that go on: run as a program by its test.

Every run is a process of its own, forked from this one once all is imported, as starting them anew takes seconds.
Prints a line of JSON a run: the signals that ended it, and what differs from the whole run.
"""

import csv
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

import vitrail.training.cli
from vitrail.cli import main

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# What an interruption may change: the folder of a run in its settings, a score that Lightning does not restore, and its
# counters, which a run completes after its last checkpoint; one that is killed then has nothing left to do.
COUNTERS = ("loops", "epoch")
OWN = (
    *COUNTERS,
    "vitrail_settings",
    "dirpath",
    "best_model_path",
    "best_k_models",
    "kth_best_model_path",
    "current_score",
)


def started(run: Path, options: list[str]) -> int:
    child = os.fork()
    if child:
        return child
    log = os.open(run.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os._exit(main(["fit", *options, f"--run={run}", "--resume"]))


def interrupted(run: Path, options: list[str], longest: float, moments: random.Random) -> list[str]:
    """Signals that ended it before it was whole."""
    sent: list[str] = []
    while True:
        child, end, status = started(run, options), time.monotonic() + moments.uniform(0.2, 1) * longest, None
        while status is None and time.monotonic() < end:
            ended, code = os.waitpid(child, os.WNOHANG)
            status = code if ended else None
            time.sleep(0.002)
        if status is not None and status != 0:
            raise SystemExit(run.with_suffix(".log").read_text())
        if status is None:
            one = moments.choice(SIGNALS)
            os.kill(child, one)
            sent.append(one.name)
            status = os.waitpid(child, 0)[1]
        if status == 0:
            return sent


def differences(whole: Any, other: Any, name: str = "") -> list[str]:
    """The names of values that differ, to the last bit."""
    if name.rpartition(".")[2] in OWN:
        return []
    if type(whole) is not type(other):
        return [name]
    if isinstance(whole, torch.Tensor):
        return [] if torch.equal(whole, other) else [name]
    if isinstance(whole, dict):
        if whole.keys() != other.keys():
            return [name]
        return [each for key in whole for each in differences(whole[key], other[key], f"{name}.{key}")]
    if isinstance(whole, list | tuple):
        if len(whole) != len(other):
            return [name]
        pairs = enumerate(zip(whole, other, strict=True))
        return [each for index, pair in pairs for each in differences(*pair, f"{name}.{index}")]
    return [] if whole == other or whole != whole else [name]


def content(run: Path) -> Any:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def metrics(run: Path) -> list[tuple[str, ...]]:
    """The rows of losses, in their order."""
    with (run / "metrics.csv").open() as file:
        rows = [tuple(row.get(name, "") for name in ("step", "train_loss", "val_loss")) for row in csv.DictReader(file)]
    return [row for row in rows if any(row[1:])]


def compare(folder: Path, runs: int, seed: int, options: list[str]) -> None:
    torch.set_num_threads(1)
    start = time.monotonic()
    whole, moments = folder / "whole", random.Random(seed)
    if os.waitpid(started(whole, options), 0)[1] != 0:
        raise SystemExit(whole.with_suffix(".log").read_text())
    longest = 0.9 * (time.monotonic() - start)
    for number in range(runs):
        run = folder / str(number)
        sent = interrupted(run, options, longest, moments)
        found = differences(content(whole), content(run))
        found += [] if metrics(run) == metrics(whole) else ["metrics.csv"]
        print(json.dumps({"signals": sent, "differences": found}), flush=True)


if __name__ == "__main__":
    assert vitrail.training.cli  # imported before the first fork
    compare(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
