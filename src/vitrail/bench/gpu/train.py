"""Throughput of matrix products as the ceiling, and the share of it that training steps of a ViT reach."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from vitrail.bench.gpu.device import peak_gib, reset_peak, seconds_per_call
from vitrail.bench.gpu.plan import Device, Figures, Plan
from vitrail.bench.gpu.steps import Steps
from vitrail.bench.infer.network import CLASSES
from vitrail.errors import ModelError
from vitrail.images.canvas import InputRule
from vitrail.models import ViT
from vitrail.models.network import BACKWARD, count_flops

# float32 as torch multiplies it by default, and with TensorFloat-32's 10 bits of mantissa.
PRECISIONS = {
    "bf16": (torch.bfloat16, "peak"),
    "fp32": (torch.float32, "peak"),
    "fp32, TF32": (torch.float32, "high"),
}
CEILING = "bf16"  # the one that training in bf16 is compared with


def measure(plan: Plan, steps: Steps, folder: Path) -> None:
    for name in PRECISIONS:
        steps.attempt(f"matrices, {name}", partial(ceiling, plan, name, folder), min_seconds=5, max_seconds=60)
    eager = [(name, False) for name in plan.train_names]
    compiled = [(name, True) for name in reversed(plan.train_names)]  # the largest first, in case time runs out
    for name, compiles in [*eager, *(compiled if plan.compiled else [])]:
        steps.attempt(
            f"{name}, bf16, {'torch.compile' if compiles else 'eager'}, batch {plan.train_batch}",
            partial(training, plan, name, compiles, folder),
            min_seconds=30 if compiles else 10,
            max_seconds=150 if compiles else 60,
        )


def ceiling(plan: Plan, name: str, folder: Path) -> Figures:
    """Multiply square matrices; the bf16 figure is written for the training steps, which may run in another process."""
    dtype, precision = PRECISIONS[name]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        tflops = multiply(plan, dtype)
    finally:
        torch.set_float32_matmul_precision(before)
    if name == CEILING:
        (folder / "ceiling.json").write_text(json.dumps(tflops))
    return {"tflops": tflops}


def multiply(plan: Plan, dtype: torch.dtype) -> float:
    generator = torch.Generator(plan.device).manual_seed(plan.seed)
    side = plan.matrix
    left, right = (torch.randn(side, side, generator=generator, device=plan.device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)
    taken = seconds_per_call(lambda: torch.mm(left, right, out=product), plan.device, plan.rounds, plan.seconds)
    return 2 * side**3 / taken.value / 1e12


def read_ceiling(folder: Path) -> float | None:
    file = folder / "ceiling.json"
    return float(json.loads(file.read_text())) if file.is_file() else None


def training(plan: Plan, name: str, compiled: bool, folder: Path) -> Figures:
    """One step: forward in bf16 with float32 weights, backward, AdamW.

    Data loading is not measured: images stay on the GPU.
    """
    torch.manual_seed(plan.seed)
    network = ViT(name=name).build(CLASSES, plan.size)
    flops = BACKWARD * count_flops(network, InputRule(plan.size)) * plan.train_batch
    reset_peak(plan.device)
    step = training_step(network, plan, compiled)
    first = step().item()
    taken = seconds_per_call(step, plan.device, plan.rounds, plan.seconds)
    last = step().item()
    if not last < first:  # the same batch each time, so its loss must fall
        raise ModelError(f"the loss of one batch did not fall: {first:.3f}, then {last:.3f}")
    tflops = flops / taken.value / 1e12
    ceiling_tflops = read_ceiling(folder)
    share = {} if ceiling_tflops is None else {"mfu": tflops / ceiling_tflops}
    return {
        "images_per_second": plan.train_batch / taken.value,
        "ms": 1000 * taken.value,
        "ms_low": 1000 * taken.low,
        "ms_high": 1000 * taken.high,
        "tflops": tflops,
        **share,
        "peak_gib": peak_gib(plan.device),
    }


def training_step(network: nn.Module, plan: Plan, compiled: bool) -> Callable[[], torch.Tensor]:
    device: Device = plan.device
    network = network.to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=device == "cuda")
    generator = torch.Generator(device).manual_seed(plan.seed)
    shape = (plan.train_batch, 3, plan.size, plan.size)
    images = torch.randn(shape, generator=generator, device=device)
    labels = torch.randint(CLASSES, shape[:1], generator=generator, device=device)
    forward: Any = torch.compile(network) if compiled else network

    def step() -> torch.Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            loss = F.cross_entropy(forward(images), labels)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step
