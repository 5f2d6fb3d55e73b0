"""What many tests share: one small trained network, and the model file made from it."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A digits CNN, trained for a hundred steps by the real command."""
    from vitrail.cli import main

    directory = tmp_path_factory.mktemp("runs") / "digits"
    steps = ["--trainer.max_steps=100", "--trainer.val_check_interval=50"]
    assert main(["fit", "--config", "digits-cnn", f"--run={directory}", *steps]) == 0
    return directory


@pytest.fixture(scope="session")
def checkpoint(run_directory: Path) -> Path:
    return run_directory / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="session")
def model_file(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That network as a model file: classes "0" to "9", canvas 8."""
    from vitrail.cli import main

    path = tmp_path_factory.mktemp("model") / "model.onnx"
    assert main(["export", "--checkpoint", str(checkpoint), "--output", str(path)]) == 0
    return path
