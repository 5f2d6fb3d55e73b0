"""Networks of many families: each file predicts what its network does, label by label."""

from typing import Any

import numpy as np
import pytest
import torch

from vitrail.exporting.graph import Graph, to_onnx
from vitrail.exporting.parity import BOUND, all_by_network, prove
from vitrail.images.canvas import InputRule
from vitrail.models import CNN, Architecture, ViT
from vitrail.models.network import logits_and_embedding

CLASSES = 10
IMAGES = 24

FAMILIES: list[tuple[Architecture, int]] = [
    (ViT(name="test_vit"), 64),
    (ViT(name="vit_tiny_patch16_224"), 64),
    (ViT(name="deit_tiny_distilled_patch16_224"), 64),
    (ViT(name="beit_base_patch16_224"), 64),
    (ViT(name="vit_small_patch16_dinov3"), 64),
    (ViT(name="swin_tiny_patch4_window7_224"), 224),
    (ViT(name="cait_xxs24_224"), 64),
    (ViT(name="xcit_nano_12_p16_224"), 64),
    (ViT(name="mixer_s32_224"), 64),
    (CNN(name="tiny_vit_5m_224"), 224),
    (CNN(name="resnet10t"), 64),
    (CNN(name="convnext_atto"), 64),
    (CNN(name="efficientnet_b0"), 224),
    (CNN(name="mobilenetv3_small_050"), 64),
    (CNN(name="regnety_002"), 64),
    (CNN(name="densenet121"), 64),
    (CNN(name="vgg11"), 64),
    (CNN(name="repvgg_a0"), 64),
    (CNN(name="ghostnet_050"), 64),
    (CNN(name="mobilevit_xxs"), 64),
    (CNN(name="poolformer_s12"), 64),
    (CNN(name="edgenext_xx_small"), 64),
    (CNN(name="fastvit_t8"), 64),
    (CNN(width=8, stages=3, blocks=1, downsampling="pool"), 28),
]
ALWAYS = {"test_vit", "resnet10t", None}  # None: not timm's


@pytest.fixture
def images(request: pytest.FixtureRequest) -> np.ndarray:
    """Blurred noise of many colours and contrasts: images that differ as photographs do."""
    size = request.param
    random = np.random.default_rng(0)
    coarse = random.normal(0, 1, (IMAGES, 4, 4, 3)) * random.uniform(20, 90, (IMAGES, 1, 1, 1))
    fine = random.normal(0, 1, (IMAGES, size, size, 3)) * random.uniform(0, 40, (IMAGES, 1, 1, 1))
    scaled = (
        coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2) + fine + random.uniform(60, 190, (IMAGES, 1, 1, 3))
    )
    return np.clip(scaled, 0, 255).astype(np.uint8)


def awake(architecture: Architecture, rule: InputRule, images: np.ndarray) -> Graph:
    """A network with a rescaled head: untrained it would give all images one label, and the test would be trivial."""
    torch.manual_seed(0)
    network: Any = architecture.build(CLASSES, rule.size)
    graph = Graph(network, rule, temperature=1.0)
    with torch.no_grad():
        for weights in network.parameters():  # layers that start at or near zero would hide what is before them
            if weights.abs().max() < 1e-3:
                weights.normal_(0, 0.1)
        for module in network.modules():  # statistics of these images, or untrained layers would wash them out
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        graph.train()(torch.from_numpy(images))
        graph.eval()
        _logits, embedding = logits_and_embedding(network, graph.input(torch.from_numpy(images)))
        heads = network.get_classifier()
        for head in heads if isinstance(heads, tuple) else (heads,):
            head.weight.normal_()
            head.weight /= (embedding @ head.weight.T).std(dim=0).mean()
            head.bias.copy_(-(head.weight @ embedding.mean(0)))
    return graph


@pytest.mark.parametrize(
    ("architecture", "images"),
    [
        pytest.param(architecture, size, marks=() if architecture.name in ALWAYS else pytest.mark.long)
        for architecture, size in FAMILIES
    ],
    indirect=["images"],
    ids=[str(architecture.name) for architecture, _ in FAMILIES],
)
def test_a_family_gives_torchs_outputs(architecture: Architecture, images: np.ndarray) -> None:
    graph = awake(architecture, InputRule(images.shape[1]), images)
    expected = all_by_network(graph, images)
    assert len(set(expected.argmax(1))) >= 3
    parity = prove(graph, to_onnx(graph), images).parity
    assert parity.max_logit_error <= BOUND * max(1.0, parity.logit_sd)
    print(f"\n{architecture.name}: {parity.max_logit_error:.1e} of {parity.logit_sd:.2f}, {parity.flips} flips")
