"""Random colours, in random order."""

from itertools import permutations

import pytest
import torch
from torchvision.transforms.v2 import functional as TV

from vitrail.errors import UsageError
from vitrail.training.augmentation import ColorJitter

from .images import draws, furthest, images

ORDERS = list(permutations(["brightness", "contrast", "saturation", "hue"]))


def in_order(image: torch.Tensor, order: tuple[str, ...]) -> torch.Tensor:
    factors = {"brightness": 1.4, "contrast": 1.7, "saturation": 0.5, "hue": 0.15}
    for name in order:
        image = getattr(TV, f"adjust_{name}")(image, factors[name])
    return image


def test_each_image_has_one_of_the_orders_of_torchvision() -> None:
    one = images()[5:6]
    fixed = ColorJitter((1.4, 1.4), (1.7, 1.7), (0.5, 0.5), (0.15, 0.15))
    changed = fixed(one.expand(400, -1, -1, -1), None, draws(400))[0]
    references = [in_order(one[0], order) for order in ORDERS]
    seen = set()
    for image in changed.unique(dim=0):
        distances = [furthest(image, reference) for reference in references]
        assert min(distances) <= 6  # 1 of each change, enlarged by those after it
        seen.add(distances.index(min(distances)))
    assert len(seen) == len(references)


def test_factors_are_uniform_in_their_range() -> None:
    grey = torch.full((4000, 3, 1, 1), 100, dtype=torch.uint8)
    values = ColorJitter(brightness=0.4)(grey, None, draws(4000))[0][:, 0, 0, 0].float()
    counts = torch.histc(values, bins=8, min=60, max=140)
    assert counts.sum() == 4000
    assert ((counts - 500) ** 2 / 500).sum() < 30  # χ² of 7 degrees: above in 1 of 10,000


def test_no_jitter_is_the_image() -> None:
    assert torch.equal(ColorJitter()(images(), None, draws())[0], images())


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"hue": 0.6}, "hue changes"), ({"contrast": (1.2, 0.8)}, "contrast changes"), ({"saturation": -1}, "saturation")],
)
def test_ranges_that_are_none_are_refused(options: dict[str, float], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        ColorJitter(**options)
