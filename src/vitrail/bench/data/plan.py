"""The settings that benches of training on photos share: the photos, the batches, the network."""

from dataclasses import dataclass

from vitrail.bench.core.report import RoundsPlan
from vitrail.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class PhotosPlan(RoundsPlan):
    """Photos of one size that are trained on in batches, and the rounds to measure."""

    photos: str
    width: int = 640
    height: int = 480
    images: int = 512
    size: int = 224
    batch: int = 32
    workers: int = 1
    net: str = "deit_tiny_patch16_224"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.batch <= self.images:
            raise UsageError(f"{self.images} images make no batch of {self.batch}: give more --images")
        if self.workers < 0:
            raise UsageError(f"a loader has 0 processes or more, not {self.workers}")
