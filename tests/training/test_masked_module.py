"""The masks of pretraining, decided by seed, epoch and index; and what the module refuses."""

from typing import Any

import numpy as np
import pytest
import torch

from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.models import CNN, Architecture, ViT
from vitrail.models.masked_patches import normalised_patches
from vitrail.models.weight_decay import parameter_groups
from vitrail.training.masked_module import MaskedModule, random_masks
from vitrail.training.muon import muon_groups

NET = ViT(patch=2, width=16, depth=1, heads=2)


def masks(images: list[int], epoch: int = 0, seed: int = 0) -> torch.Tensor:
    return random_masks(Draws.of(seed, epoch, np.array(images)), 49, 37)


def test_every_image_has_the_same_number_of_masked_patches() -> None:
    masked = masks([*range(500)])
    assert (masked.shape, masked.dtype) == ((500, 49), torch.bool)
    assert masked.sum(dim=1).tolist() == [37] * 500


def test_every_patch_is_masked_equally_often() -> None:
    """A share of 500 images within five standard deviations of 37 / 49."""
    share = 37 / 49
    assert ((masks([*range(500)]).float().mean(dim=0) - share).abs() < 5 * (share * (1 - share) / 500) ** 0.5).all()


def test_masks_do_not_depend_on_the_batch_and_differ_by_image_epoch_and_seed() -> None:
    whole = masks([4, 1, 7, 2])
    assert torch.equal(torch.cat([masks([4, 1]), masks([7, 2])]), whole)
    assert len({tuple(row) for row in whole.tolist()}) == 4
    assert not torch.equal(masks([4, 1, 7, 2], epoch=1), whole)
    assert not torch.equal(masks([4, 1, 7, 2], seed=1), whole)


def test_the_loss_is_that_of_the_drawn_patches_by_hand() -> None:
    torch.manual_seed(0)
    module = MaskedModule(NET, 8, mask_ratio=0.6).eval()
    images, draws = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8), Draws.of(0, 0, np.arange(3))
    assert module.count == 10  # of 16
    masked = random_masks(draws, 16, 10)
    pixels = (images.float() / 255 - 0.5) / 0.5
    targets = normalised_patches(pixels, 2)
    predictions = module.masking(module.net, pixels, masked).detach()
    errors = ((predictions - targets) ** 2).mean(dim=2)
    by_hand = sum(errors[image, patch] for image, patch in masked.nonzero().tolist()) / 30
    assert module.loss(images, draws).item() == pytest.approx(float(by_hand), abs=1e-5)


def test_the_network_has_no_head_and_timms_keys() -> None:
    module = MaskedModule(NET, 8)
    with_head = NET.build(10, 8).state_dict()
    assert module.net.state_dict().keys() == with_head.keys() - {"head.weight", "head.bias"}


@pytest.mark.parametrize("grouped", [parameter_groups, muon_groups])
def test_norms_biases_and_the_cover_are_not_decayed(grouped: Any) -> None:
    module = MaskedModule(NET, 8)
    decayed = {id(one) for group in grouped(module.masking, 0.1) if group["weight_decay"] for one in group["params"]}
    assert {name for name, one in module.masking.named_parameters() if id(one) in decayed} == {"pixels.weight"}


@pytest.mark.parametrize(
    ("net", "mask_ratio", "reason"),
    [
        (CNN(width=8, stages=2), 0.75, "a CNN has no patches that could be masked"),
        (ViT("swin_tiny_patch4_window7_224"), 0.75, "SwinTransformer has no patches that could be masked"),
        (ViT(patch=3), 0.75, "patches of 3 do not divide an image of 224"),
        (ViT(patch=56, width=16, heads=2, depth=1), 0, "a mask_ratio of 0 masks 0 of 16 patches"),
        (ViT(patch=56, width=16, heads=2, depth=1), 1, "a mask_ratio of 1 masks 16 of 16 patches"),
        (ViT(patch=56, width=16, heads=2, depth=1, head="set"), 0.75, "the head set predicts"),
    ],
)
def test_what_cannot_be_pretrained_is_refused(net: Architecture, mask_ratio: float, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        MaskedModule(net, 224, mask_ratio=mask_ratio)
