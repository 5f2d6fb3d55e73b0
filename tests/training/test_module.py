"""Tests of the LightningModule beside those of its tasks."""

from pathlib import Path

import pytest
import torch

from vitrail.cli import main


@pytest.mark.parametrize("is_frozen", [True, False])
def test_statistics_of_batchnorm_stay_if_they_are_frozen(is_frozen: bool, tmp_path: Path) -> None:
    steps = ["--trainer.max_steps=4", "--trainer.val_check_interval=2"]  # the validation between must not thaw them
    options = [*steps, f"--model.freeze_statistics={is_frozen}", f"--run={tmp_path / 'run'}"]
    assert main(["fit", "--config=digits-cnn", *options]) == 0
    weights = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    means = [value for name, value in weights.items() if name.endswith("running_mean")]
    assert len(means) > 1
    assert all(bool((mean == 0).all()) == is_frozen for mean in means)  # 0 is where they start
