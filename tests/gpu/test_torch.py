"""Training on an NVIDIA GPU: the same network as on the CPU, and steps in bf16 that learn."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from vitrail.bench.gpu.plan import Device, Plan
from vitrail.bench.gpu.train import training_step
from vitrail.bench.infer.network import CLASSES, seeded_batch, seeded_network
from vitrail.images.canvas import InputRule
from vitrail.models import ViT
from vitrail.runtime.providers import has_nvidia_driver

DEVICE: Device = "cuda"
PLAN = Plan(name="test_vit", size=32, train_batch=8, device=DEVICE)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not has_nvidia_driver(), reason="there is no NVIDIA GPU on this machine"),
]


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 2e-3), (torch.bfloat16, 0.1)])
def test_network_computes_as_on_the_cpu(dtype: torch.dtype, allowed: float) -> None:
    """float32 as torch multiplies it by default; its convolution of patches may use TF32."""
    network = seeded_network(PLAN.name, PLAN.size, 0)
    pixels = torch.from_numpy(seeded_batch(InputRule(PLAN.size), 8, 0).pixels)
    with torch.inference_mode():
        expected = network(pixels)
        actual = network.to(DEVICE, dtype)(pixels.to(DEVICE, dtype)).float().cpu()
    assert (actual - expected).abs().max() <= allowed * max(1.0, float(expected.std()))


def test_step_in_bf16_learns_and_keeps_float32_weights() -> None:
    torch.manual_seed(0)
    network = ViT(name=PLAN.name).build(CLASSES, PLAN.size)
    step = training_step(network, PLAN, compiled=False)
    losses = [step().item() for _ in range(20)]
    assert losses[0] == pytest.approx(torch.tensor(CLASSES).log().item(), rel=0.2)
    assert losses[-1] < 0.9 * losses[0]
    assert {weights.dtype for weights in network.parameters()} == {torch.float32}
    assert {weights.device.type for weights in network.parameters()} == {DEVICE}
    assert all(bool(torch.isfinite(weights.grad).all()) for weights in network.parameters() if weights.grad is not None)


def test_gradients_in_bf16_align_with_float32() -> None:
    pixels = torch.from_numpy(seeded_batch(InputRule(PLAN.size), 8, 0).pixels).to(DEVICE)
    labels = torch.arange(8, device=DEVICE)
    network = seeded_network(PLAN.name, PLAN.size, 0).to(DEVICE)

    def gradient(enabled: bool) -> torch.Tensor:
        network.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=enabled):
            loss = F.cross_entropy(network(pixels), labels)
        loss.backward()
        return torch.cat([weights.grad.flatten() for weights in network.parameters() if weights.grad is not None])

    assert F.cosine_similarity(gradient(True), gradient(False), dim=0) > 0.98


@pytest.mark.skipif(
    any(find_spec(each) is None for each in ("pytorch_lightning", "jsonargparse", "sklearn")),
    reason="vitrail[train] is not installed",
)
def test_fit_trains_on_the_gpu_in_bf16(tmp_path: Path) -> None:
    from vitrail.cli import main

    argv = [f"--trainer.accelerator={'gpu' if DEVICE == 'cuda' else DEVICE}", "--trainer.precision=bf16-mixed"]
    steps = ["--trainer.max_steps=40", "--trainer.val_check_interval=20"]
    assert main(["fit", "--config", "digits-vit", f"--run={tmp_path / 'run'}", *argv, *steps]) == 0
    weights = torch.load(tmp_path / "run" / "checkpoints" / "best.ckpt", map_location="cpu", weights_only=False)
    assert {tensor.dtype for tensor in weights["state_dict"].values() if tensor.is_floating_point()} == {torch.float32}
