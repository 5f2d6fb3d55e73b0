"""Contenders of the training benchmark do the same work: images, steps, pixels, loss."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from timm.models.resnet import ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitrail.bench.data.photo_set import photographs, write_photo_set
from vitrail.bench.train import contenders
from vitrail.bench.train.plan import CONTENDERS, FOLDER, NETWORK, OURS, PARTS, PIPELINE, TIMM, Plan, Setup
from vitrail.models.timm_models import pixel_statistics
from vitrail.training.precision import PLAIN, Execution, Measured

COLOUR = (200, 120, 40)
PLAN = Plan(photos="", images=5, size=32, batch=2, workers=0, net="test_vit", rounds=5)


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """Photos of one colour, which every crop of them has, too."""
    setup = Setup(PLAN, tmp_path_factory.mktemp("run"))
    source = setup.folder / "source"
    source.mkdir()
    Image.new("RGB", (48, 40), COLOUR).save(source / "one.png")
    write_photo_set(setup.photos, PLAN.images, photographs(str(source), 48, 40))
    setup.cache.mkdir()
    return setup


class Work:
    """Pixels that the network gets, or nobody, and steps of the optimizer, in each turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inputs: list[Tensor] = []
        self.steps = 0
        self.turns: list[tuple[int, int]] = []  # numbers of images and of steps
        forward, step = VisionTransformer.forward, torch.optim.AdamW.step

        def seen(network: VisionTransformer, pixels: Tensor, *rest: Any) -> Tensor:
            self.inputs.append(pixels)
            return forward(network, pixels, *rest)

        def counted(optimizer: torch.optim.AdamW, *rest: Any, **options: Any) -> Any:
            self.steps += 1
            return step(optimizer, *rest, **options)

        monkeypatch.setattr(contenders, "skip", lambda pixels, labels: self.inputs.append(pixels))
        monkeypatch.setattr(VisionTransformer, "forward", seen)
        monkeypatch.setattr(torch.optim.AdamW, "step", counted)

    def in_turns(self, count: int) -> Iterator[None]:
        for _ in range(count):
            self.inputs.clear()
            self.steps = 0
            yield
            self.turns.append((sum(map(len, self.inputs)), self.steps))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", CONTENDERS)
def test_a_turn_is_one_epoch(name: str, part: str, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 5 photos 4 are in batches of 2."""
    work = Work(monkeypatch)
    contenders.RUN[name](setup, part, work.in_turns(PLAN.turns))
    assert work.turns == [(4, 0 if part == PIPELINE else 2)] * 6
    if part != NETWORK:
        assert not any(one is other for one, other in zip(work.inputs, work.inputs[1:], strict=False))
    mean, std = (torch.tensor(numbers) for numbers in pixel_statistics(contenders.network_of(PLAN)))
    expected = ((torch.tensor(COLOUR) / 255 - mean) / std).view(1, 3, 1, 1)
    for pixels in work.inputs:
        assert (pixels.dtype, pixels.shape) == (torch.float32, (2, 3, 32, 32))
        assert float((pixels - expected).abs().max()) < 0.05  # JPEG's rounding


@pytest.mark.parametrize("name", [TIMM, FOLDER])
def test_peers_train_the_network_of_vitrail_with_its_loss(name: str, setup: Setup) -> None:
    ours = contenders.our_module(PLAN)
    theirs: Any = contenders.network_of(PLAN)
    assert {key: value.shape for key, value in ours.net.state_dict().items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }
    theirs.load_state_dict(ours.net.state_dict())
    pixels, labels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 1, 0])
    step = contenders.timm_step(theirs, PLAN) if name == TIMM else contenders.plain_step(theirs, PLAN)
    ours.training_task.loss(ours.net, pixels, labels, None).backward()
    step(pixels, labels)
    optimizer = ours.optimizer(ours.net.parameters())
    optimizer.step()
    head, their_head = ours.net.get_classifier().weight, theirs.get_classifier().weight
    torch.testing.assert_close(head, their_head, rtol=0, atol=1e-6)


def test_pixels_of_vitrail_alone_are_those_of_its_training(setup: Setup) -> None:
    data = contenders.our_epochs(setup, 0).prepared()
    pixels = contenders.OurPixels(data, contenders.our_module(PLAN).input)
    first, second = ([batch[0] for batch in pixels] for _ in range(2))
    assert (len(first), len(second), pixels.epoch) == (2, 2, 2)


@pytest.mark.parametrize(
    ("name", "precision", "is_bfloat16"),
    [*((name, "bf16-mixed", True) for name in CONTENDERS), (OURS, "auto", True), (TIMM, "auto", False)],
)
def test_a_cnn_is_trained_in_the_precision_of_the_plan(
    name: str, precision: Any, is_bfloat16: bool, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With auto vitrail alone takes the fastest."""
    measured = Measured({PLAIN: 0.5, Execution("bf16-mixed", True): 0.2}, 2)
    monkeypatch.setattr(contenders, "measure_training", lambda *args: measured)
    plan = replace(PLAN, net="test_resnet", precision=precision)
    seen: list[bool] = []
    forward = ResNet.forward

    def watched(network: ResNet, pixels: Tensor) -> Tensor:
        if network.training:  # not to count its operations
            seen.append(torch.is_autocast_enabled("cpu"))
        return forward(network, pixels)

    monkeypatch.setattr(ResNet, "forward", watched)
    contenders.RUN[name](replace(setup, plan=plan), NETWORK, iter([None] * plan.turns))
    assert seen == [is_bfloat16] * 2 * plan.turns
