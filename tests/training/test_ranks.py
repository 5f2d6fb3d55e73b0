"""Several processes: every image is processed once and gathered in order; and two real processes on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_lightning.plugins.environments import TorchElasticEnvironment
from torch import distributed
from torch.multiprocessing.spawn import start_processes

from vitrail.data import Digits
from vitrail.errors import UsageError
from vitrail.training.batches import SeededOrder
from vitrail.training.ranks import even_batches, from_all_ranks, interleaved, processes, share_of

TWO = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]


@pytest.mark.parametrize(("count", "world"), [(1, 1), (7, 2), (8, 2), (9, 4), (4, 4)])
def test_every_image_is_processed_once_and_gathered_in_order(count: int, world: int) -> None:
    shares = [share_of(count, rank, world) for rank in range(world)]
    assert sorted(index for share in shares for index in share) == list(range(count))
    rows = torch.rand(count, 3)
    assert torch.equal(interleaved([rows[list(share)] for share in shares]), rows)


@pytest.mark.parametrize(("count", "size", "world"), [(7, 2, 2), (9, 4, 2), (8, 4, 2), (5, 64, 4)])
def test_every_process_has_as_many_validation_batches_and_none_is_empty(count: int, size: int, world: int) -> None:
    of_ranks = [even_batches(count, size, rank, world) for rank in range(world)]
    assert len({len(batches) for batches in of_ranks}) == 1
    assert all(1 <= len(batch) <= size for batches in of_ranks for batch in batches)
    assert sorted(index for batches in of_ranks for batch in batches for index in batch) == list(range(count))


def test_fewer_images_than_processes_are_refused() -> None:
    with pytest.raises(UsageError, match="3 images cannot be divided among 4 processes"):
        share_of(3, 0, 4)


def test_training_shares_are_equal_disjoint_and_new_in_every_epoch() -> None:
    orders = [SeededOrder(11, 5, rank, 2) for rank in range(2)]
    first = [list(order) for order in orders]
    assert [len(indices) for indices in first] == [len(order) for order in orders] == [5, 5]
    assert len({*first[0], *first[1]}) == 10
    whole = list(SeededOrder(11, 5))
    assert first == [whole[0:10:2], whole[1:10:2]]
    for order in orders:
        order.set_epoch(1)
    assert [[number - 11 for number in order] for order in orders] != first


def gather_from_two(rank: int, folder: Path) -> None:
    """One of two processes: it has every second row."""
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    rows = torch.arange(14.0).reshape(7, 2)[list(share_of(7, rank, 2))]
    torch.save(from_all_ranks(rows, torch.device("cpu")), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_gather_shares_of_unequal_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked, since importing torch takes most of the time of a process."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    start_processes(gather_from_two, (tmp_path,), nprocs=2, start_method="fork")
    for rank in range(2):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt"), torch.arange(14.0).reshape(7, 2))


def command(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("vitrail")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [program, *options], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def test_as_many_processes_as_the_trainer_has_must_have_been_started(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"accelerator": "cpu", "devices": 2, "num_nodes": 3}
    assert processes(options) == 6
    monkeypatch.setattr(TorchElasticEnvironment, "detect", staticmethod(lambda: True))
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("GROUP_RANK", "0"), ("WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"4 processes were started, and the trainer has 6: give --trainer\.devices"):
        processes(options)
    monkeypatch.setenv("WORLD_SIZE", "6")
    assert processes(options) == 6


@pytest.mark.long
def test_two_processes_fit_one_run_and_measure_every_image_once(tmp_path: Path) -> None:
    steps = ["--trainer.max_steps=40", "--trainer.val_check_interval=20", "--data.batch_size=60"]
    fitted = command(tmp_path, "fit", "--config=digits-cnn", *steps, *TWO)
    assert fitted.returncode == 0, fitted.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["digits-cnn"]
    lines = fitted.stdout.splitlines()
    assert len(lines) == len(set(lines)) == 5
    best = "runs/digits-cnn/checkpoints/best.ckpt"
    figures: dict[int, tuple[str, NDArray[np.float32], str]] = {}
    for world in (1, 2, 4):
        devices = [f"--trainer.devices={world}", f"--trainer.strategy={'auto' if world == 1 else 'ddp'}"]
        tested = command(tmp_path, "test", f"--ckpt_path={best}", *devices)
        assert tested.returncode == 0, tested.stderr
        assert tested.stdout.count("top-1") == 1
        saved = np.load(tmp_path / "runs/digits-cnn/predictions.npz")
        assert np.array_equal(saved["labels"], Digits().labels("test"))
        validated = command(tmp_path, "validate", f"--ckpt_path={best}", *devices)
        assert len(validated.stdout.splitlines()) == 2
        figures[world] = (tested.stdout, saved["probabilities"], validated.stdout)
    for world in (2, 4):
        assert figures[1][0] == figures[world][0]
        assert figures[1][2] == figures[world][2]
        assert np.allclose(figures[1][1], figures[world][1], atol=1e-6, rtol=0)
    predicted = command(tmp_path, "predict", f"--ckpt_path={best}")
    assert predicted.returncode == 0, predicted.stderr
    rows = (tmp_path / "runs/digits-cnn/predictions.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == [str(label) for label in Digits().labels("test")]
