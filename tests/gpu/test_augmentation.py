"""Augmentation on an NVIDIA GPU: the images of the CPU."""

import pytest

from vitrail.runtime.providers import has_nvidia_driver
from vitrail.training.augmentation import BatchTransform

from ..training.augmentation.images import TRANSFORMS, draws, images, maps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not has_nvidia_driver(), reason="there is no NVIDIA GPU on this machine"),
]


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_images_and_maps_are_those_of_the_cpu(transform: BatchTransform) -> None:
    here = transform(images(64), maps(64), draws(64))
    there = transform(images(64).cuda(), maps(64).cuda(), draws(64))
    for one, other in zip(here, there, strict=True):
        assert (one != other.cpu()).float().mean() < 1e-3  # a division may be rounded otherwise
