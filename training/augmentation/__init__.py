"""Random changes of training images: whole batches at once, on their device, from numbers of each image's own."""

from vitrail.training.augmentation.apply import augmented, augmented_sets
from vitrail.training.augmentation.batch_transform import BatchTransform
from vitrail.training.augmentation.color_jitter import ColorJitter
from vitrail.training.augmentation.erasing import Erasing
from vitrail.training.augmentation.flips import HorizontalFlip, VerticalFlip
from vitrail.training.augmentation.mixing import CutMix, MixUp, MixUpOrCutMix, mixing_of
from vitrail.training.augmentation.rand_augment import RandAugment, TrivialAugment
from vitrail.training.augmentation.shift import Shift
from vitrail.training.augmentation.three_augment import ThreeAugment

__all__ = [
    "BatchTransform",
    "ColorJitter",
    "CutMix",
    "Erasing",
    "HorizontalFlip",
    "MixUp",
    "MixUpOrCutMix",
    "RandAugment",
    "Shift",
    "ThreeAugment",
    "TrivialAugment",
    "VerticalFlip",
    "augmented",
    "augmented_sets",
    "mixing_of",
]
