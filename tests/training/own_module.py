"""Modules, data and a callback as users write them, copied into the folder that a test runs in."""

from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(pl.LightningModule):
    """A small convolutional network."""

    def __init__(self, num_classes: int, width: int = 4, lr: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.net = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * width, num_classes),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.net(pixels)
        return logits

    def step(self, batch: Any, name: str) -> Tensor:
        pixels, target = batch
        logits = self(pixels)
        loss = F.cross_entropy(logits, target)
        self.log_dict({f"{name}_loss": loss, f"{name}_acc": (logits.argmax(dim=1) == target).float().mean()})
        return loss

    def training_step(self, batch: Any, index: int) -> Tensor:
        return self.step(batch, "train")

    def validation_step(self, batch: Any, index: int) -> None:
        self.step(batch, "val")

    def test_step(self, batch: Any, index: int) -> None:
        self.step(batch, "test")

    def predict_step(self, batch: Any, index: int) -> Tensor:
        return self.forward(batch[0]).softmax(dim=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.lr)


class WithoutOptimizer(Classifier):
    """For `--optimizer` and `--lr_scheduler`."""

    configure_optimizers = pl.LightningModule.configure_optimizers  # type: ignore[assignment]


class Odd(Classifier):
    """Built again from its arguments, it is another network."""

    made = 0

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        Odd.made += 1
        self.scale = float(Odd.made)

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels) * self.scale


class Noisy(TensorDataset):
    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        row, label = super().__getitem__(index)  # type: ignore[no-untyped-call]
        return row + 0.1 * torch.randn(len(row)), label


class Rows(pl.LightningDataModule):
    """Rows of numbers, of which the label is the sign of the sum."""

    def __init__(self, count: int = 64, batch_size: int = 16) -> None:
        super().__init__()
        self.count, self.batch_size = count, batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        rows = torch.randn(self.count, 8, generator=torch.Generator().manual_seed(0))
        return DataLoader(Noisy(rows, (rows.sum(dim=1) > 0).long()), self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.train_dataloader()


class OfRows(pl.LightningModule):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)

    def training_step(self, batch: Any, index: int) -> Tensor:
        return F.cross_entropy(self.layer(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class WithLoader(OfRows):
    """Its batches are its own."""

    def train_dataloader(self) -> DataLoader[Any]:
        return Rows().train_dataloader()


class Encoder:
    def __init__(self, width: int = 4) -> None:
        self.width = width


@dataclass
class Plan:
    warmup: int = 3
    factors: list[float] = field(default_factory=lambda: [1.0])


class Nested(WithoutOptimizer):
    """Its arguments are objects."""

    def __init__(
        self,
        num_classes: int,
        encoder: Encoder | None = None,
        plan: Plan | None = None,
        widths: list[int] | None = None,
        table: dict[str, int] | None = None,
    ) -> None:
        super().__init__(num_classes, encoder.width if encoder else 4)
        print("nested", encoder and encoder.width, plan, widths, table)


class Loose(WithoutOptimizer):
    """It takes arguments of any name."""

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(num_classes)
        print("options", options)


class Speaker(Callback):
    """Prints its word, and what the trainer has."""

    def __init__(self, word: str = "hello") -> None:
        self.word = word

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        print(self.word, type(trainer.strategy).__name__, trainer.precision)
