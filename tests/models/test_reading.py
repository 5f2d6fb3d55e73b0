"""Where a network looks: weights of cross-attention, of the network's own prediction, on the grid of patches."""

import numpy as np
import torch

from vitrail.images.canvas import InputRule
from vitrail.models import ViT
from vitrail.models.network import logits_and_embedding
from vitrail.models.reading import read

RULE = InputRule(16)
CANVAS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def test_attention_is_that_of_the_prediction() -> None:
    torch.manual_seed(0)
    head = {"name": "autoregressive", "length": 3, "layers": 1}
    network = ViT(patch=4, width=16, depth=1, heads=2, head=head).build(5, 16, "sequence").eval()  # type: ignore[arg-type]
    reading = read(network, RULE, CANVAS)
    assert reading is not None
    pixels = torch.from_numpy(CANVAS[None]).permute(0, 3, 1, 2) / 255 * 2 - 1
    logits, _ = logits_and_embedding(network, pixels)
    np.testing.assert_allclose(reading.probabilities, logits[0].softmax(-1).detach(), atol=1e-5)
    assert reading.attention.shape == (3, 4, 4)
    np.testing.assert_allclose(reading.attention.sum(axis=(1, 2)), 1, atol=1e-5)
    assert np.abs(np.diff(reading.attention, axis=0)).max() > 1e-4  # each place looks elsewhere


def test_an_image_at_its_own_shape_has_attention_of_its_grid() -> None:
    torch.manual_seed(0)
    rule, canvas = InputRule(16, "native", patch=4), np.tile(CANVAS, (1, 2, 1))[:8]
    network = ViT(patch=4, width=16, depth=1, heads=2, head="parallel").build_for(rule, 5, "sequence").eval()
    reading = read(network, rule, canvas)
    assert reading is not None
    assert reading.attention.shape == (8, 2, 8)
    np.testing.assert_allclose(reading.attention.sum(axis=(1, 2)), 1, atol=1e-5)


def test_attention_finds_the_vector_that_its_queries_point_at() -> None:
    """With keys of one vector far along the queries, all places look at it."""
    torch.manual_seed(0)
    network = ViT(patch=4, width=16, depth=1, heads=2, head="parallel").build(5, 16, "sequence").eval()
    (layer,) = network.get_classifier().layers[:1]  # type: ignore[operator]
    with torch.no_grad():
        layer.cross.query.weight.zero_()
        layer.cross.query.bias.fill_(1.0)
        layer.cross.key_value.bias.zero_()
        layer.cross.key_value.weight[:16].copy_(9.0)
    vectors = torch.zeros(1, 16, 16)
    vectors[0, 5] = 1.0
    weights = network.get_classifier().attention(vectors)[0, 0]  # type: ignore[operator]
    assert weights.shape == (2, 8, 16)
    assert weights[..., 5].min() > 0.99


def test_other_networks_read_no_sequence() -> None:
    assert read(ViT(patch=4, width=16, depth=1, heads=2).build(5, 16).eval(), RULE, CANVAS) is None
