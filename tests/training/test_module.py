"""The LightningModule: what each choice of balance lets the network see, and statistics that stay as they were."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.models import CNN
from vitrail.tasks.training_task import Balance
from vitrail.training.data_module import ImageDataModule
from vitrail.training.module import ImageModule
from vitrail.training.runs import bare_trainer

from ..sources import draw_images

CATS, DOGS = 20, 4


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    names = [f"train/{'cat' if i < CATS else 'dog'}/{i}.png" for i in range(CATS + DOGS)]
    draw_images(tmp_path, [*names, *(f"{part}/{one}/0.png" for part in ("val", "test") for one in ("cat", "dog"))])
    return tmp_path


class Watched(ImageModule):
    """Notes the logits, the targets and the loss of every step."""

    def __init__(self, **options: Any) -> None:
        super().__init__(CNN(width=8, stages=1, blocks=1), 2, 4, **options)
        self.steps: list[tuple[Tensor, Tensor, Tensor]] = []

    def training_step(self, batch: Any, index: int) -> Tensor:
        with torch.no_grad():
            logits = self(batch[0])
        loss = super().training_step(batch, index)
        self.steps.append((logits, batch[1], loss.detach()))
        return loss


def fitted(path: Path, **options: Any) -> Watched:
    """After two epochs; its BatchNorms are those of training."""
    torch.manual_seed(0)
    module, data = Watched(**options), ImageDataModule(str(path), 4, batch_size=8)
    bare_trainer([], max_epochs=2, limit_val_batches=0).fit(module, data)
    return module


def dogs_of_each_epoch(module: Watched) -> list[int]:
    targets = torch.cat([target for _, target, _ in module.steps])
    return [int(epoch.sum()) for epoch in targets.chunk(2)]


@pytest.mark.parametrize(
    ("balance", "dogs"), [("none", DOGS), ("weights", DOGS), ("logit_adjust", DOGS), ("sampler", (CATS + DOGS) // 2)]
)
def test_the_sampler_alone_changes_which_images_are_seen(uneven: Path, balance: Balance, dogs: int) -> None:
    assert dogs_of_each_epoch(fitted(uneven, balance=balance)) == [dogs, dogs]


@pytest.mark.parametrize("balance", ["none", "weights", "sampler", "logit_adjust"])
def test_the_loss_of_each_step_is_that_computed_by_hand(uneven: Path, balance: Balance) -> None:
    shares = torch.tensor([CATS, DOGS]) / (CATS + DOGS)
    for logits, target, loss in fitted(uneven, balance=balance).steps:
        seen = logits + shares.log() if balance == "logit_adjust" else logits
        each = F.cross_entropy(seen, target, reduction="none")
        expected = each / (2 * shares)[target] if balance == "weights" else each
        torch.testing.assert_close(loss, expected.mean())


def test_each_choice_trains_with_mixed_images(uneven: Path) -> None:
    mixed = {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1}
    ends = [fitted(uneven, balance=one, **mixed).steps[-1][2] for one in ("none", "weights", "sampler", "logit_adjust")]
    assert torch.stack(ends).isfinite().all()
    assert len({float(end) for end in ends}) == 4


def test_a_sampler_with_weights_in_the_manifest_is_refused(tmp_path: Path) -> None:
    draw_images(tmp_path, [f"{i}.png" for i in range(30)])
    rows = "\n".join(f"{i}.png,{'dog' if i % 5 == 0 else 'cat'},{1 + i % 2}" for i in range(30))
    (tmp_path / "manifest.csv").write_text(f"path,label,weight\n{rows}\n")
    with pytest.raises(UsageError, match="drawn equally often, whatever their weights"):
        fitted(tmp_path, balance="sampler")
    assert fitted(tmp_path, balance="weights").weights is not None


THAWED = ["--trainer.callbacks+=vitrail.training.freezing.FreezeThenThaw", "--trainer.callbacks.share=0.5"]


@pytest.mark.parametrize(("is_frozen", "others"), [(True, []), (True, THAWED), (False, [])])
def test_statistics_of_batchnorm_stay_if_they_are_frozen(is_frozen: bool, others: list[str], tmp_path: Path) -> None:
    steps = ["--trainer.max_steps=4", "--trainer.val_check_interval=2"]  # the validation between must not thaw them
    options = [*steps, *others, f"--model.freeze_statistics={is_frozen}", f"--run={tmp_path / 'run'}"]
    assert main(["fit", "--config=digits-cnn", *options]) == 0
    weights = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    means = [value for name, value in weights.items() if name.endswith("running_mean")]
    assert len(means) > 1
    assert all(bool((mean == 0).all()) == is_frozen for mean in means)  # 0 is where they start
