"""MixUp and CutMix: shares of pixels and of targets agree, and are drawn for each image."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.training.augmentation import CutMix, MixUp, MixUpOrCutMix, mixing_of
from vitrail.training.augmentation.mixing import Mixing

from .images import draws

COUNT, SIDE = 1000, 16


def mixed(mixing: Mixing, count: int = COUNT) -> tuple[Tensor, Tensor]:
    """The share that stays of each pixel of images [count, SIDE, SIDE], and of each target [count]."""
    pixels = torch.zeros(count, 3, SIDE, SIDE)
    pixels[::2] = 1
    classes = torch.arange(count) % 2
    blends, targets = mixing(pixels, classes, draws(count))
    own = pixels * blends + (1 - pixels) * (1 - blends)
    assert torch.equal(own[:, 0], own[:, 2])
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(count))
    return own[:, 0], targets.gather(1, classes[:, None])[:, 0]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_mixup_blends_pixels_and_targets_by_a_share_from_beta(alpha: float) -> None:
    pixels, targets = mixed(MixUp(alpha, num_classes=2))
    torch.testing.assert_close(pixels, targets[:, None, None].expand_as(pixels))
    assert stats.kstest(targets.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-4


def test_cutmix_pastes_a_rectangle_and_counts_its_pixels() -> None:
    pixels, targets = mixed(CutMix(1.0, num_classes=2))
    assert set(pixels.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(pixels.mean(dim=(1, 2)), targets)
    pasted = pixels == 0
    rows, columns = pasted.any(dim=2).sum(dim=1), pasted.any(dim=1).sum(dim=1)
    assert torch.equal(rows * columns, pasted.flatten(1).sum(dim=1))


def test_cutmix_has_the_shares_of_torchvision() -> None:
    from torchvision.transforms.v2 import CutMix as Peer

    _, ours = mixed(CutMix(1.0, num_classes=2), 3000)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        peer = Peer(alpha=1.0)
        theirs = [peer.make_params([torch.zeros(1, 3, SIDE, SIDE)])["lam_adjusted"] for _ in range(3000)]
    assert stats.ks_2samp(ours.numpy(), theirs).pvalue > 1e-4


def test_each_image_is_in_one_of_both() -> None:
    pixels, targets = mixed(MixUpOrCutMix(1.0, 1.0, num_classes=2))
    cut = ((pixels == 0) | (pixels == 1)).flatten(1).all(dim=1)
    assert cut.float().mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / COUNT))
    torch.testing.assert_close(pixels.mean(dim=(1, 2)), targets)


def test_shares_do_not_depend_on_the_batch() -> None:
    for one in (MixUp(0.4, num_classes=2), CutMix(1.0, num_classes=2), MixUpOrCutMix(0.4, 1.0, num_classes=2)):
        assert torch.equal(mixed(one, 10)[0], mixed(one, 100)[0][:10])


def test_the_partner_is_the_image_before_and_labels_are_blended_too() -> None:
    pixels = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    blends, targets = MixUp(1.0, num_classes=3)(pixels, labels, draws(4))
    shares = (blends[:, 0, 0, 0] - pixels.roll(1, 0)[:, 0, 0, 0]) / (pixels - pixels.roll(1, 0))[:, 0, 0, 0]
    torch.testing.assert_close(targets, labels * shares[:, None] + labels.roll(1, 0) * (1 - shares[:, None]))


def test_what_is_mixed_follows_from_both_alphas() -> None:
    assert mixing_of(0.0, 0.0, 3) is None
    assert type(mixing_of(0.4, 0.0, 3)) is MixUp
    assert type(mixing_of(0.0, 1.0, 3)) is CutMix
    assert type(mixing_of(0.4, 1.0, 3)) is MixUpOrCutMix
    with pytest.raises(UsageError, match="above 0, not -1"):
        mixing_of(-1, 0.0, 3)
