"""The model file under CUDA and TensorRT beside torch, in alternating rounds, logits compared first."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitrail.bench.core.rounds import MIN_ROUNDS, alternate, median_interval, speedups
from vitrail.bench.gpu.plan import Figures, Plan
from vitrail.bench.gpu.providers import NAMES, require_provider
from vitrail.bench.gpu.steps import Steps
from vitrail.bench.gpu.subject import model_file, network_and_rule
from vitrail.bench.gpu.timing import used_gib
from vitrail.bench.infer.contenders import PIXELS, Bound, Contender, logit_error, our_file
from vitrail.bench.infer.network import Batch, expected_logits, seeded_batch
from vitrail.images.canvas import InputRule
from vitrail.runtime.providers import Provider, usable_cores

BASE = "torch.compile, bf16"  # what the others are compared with
FP32, FP16, BF16 = 1e-3, 2e-2, 1e-1  # how far logits may lie from float32's: see `vitrail.bench.infer.cuda`


@dataclass(frozen=True)
class Ready:
    """A contender that computes the network, with every batch bound; its error, and what it holds of the device."""

    bound: dict[int, Bound]
    error: dict[int, float]
    gib: float


@dataclass(frozen=True)
class Setup:
    """What all contenders are made from and compared with."""

    plan: Plan
    folder: Path
    network: nn.Module
    rule: InputRule

    def batches(self) -> dict[int, Batch]:
        return {size: seeded_batch(self.rule, size, self.plan.seed) for size in self.plan.batches}


def measure(plan: Plan, steps: Steps, folder: Path) -> None:
    """Prepare each contender in turn; those that succeed then take turns at each batch size."""
    setup = Setup(plan, folder, *network_and_rule(plan))
    batches = setup.batches()
    expected = {size: expected_logits(setup.network, batch) for size, batch in batches.items()}
    ready: dict[str, Ready] = {}

    def prepare(name: str, make: Callable[[], Contender]) -> None:
        before = used_gib(plan.device)
        contender = make()
        bound = {size: contender.bind(batch) for size, batch in batches.items()}
        error = {size: logit_error(contender, bound[size], expected[size]) for size in batches}
        ready[name] = Ready(bound, error, used_gib(plan.device) - before)

    for name, make, most in contenders(setup):
        steps.attempt(name, partial(prepare, name, make), least=10, most=most, prepares=True)
    for size in plan.batches:
        steps.attempt(f"batch {size}", partial(measure_batch, plan, steps, size, ready), least=10, most=120)


def contenders(setup: Setup) -> list[tuple[str, Callable[[], Contender], float]]:
    """Each with the seconds that its preparation may take; torch first, since it needs no file."""
    plan = setup.plan
    torchs: list[tuple[str, bool]] = [("torch, eager, bf16", False), *([(BASE, True)] if plan.compiled else [])]
    files = [(provider, half) for provider in plan.providers for half in (False, True)]
    return [
        *(
            (name, partial(torch_contender, name, setup, compiled), 150.0 if compiled else 60.0)
            for name, compiled in torchs
        ),
        *((file_name(*each), partial(file_contender, setup, *each), 150.0) for each in files),
    ]


def file_name(provider: Provider, half: bool) -> str:
    return f"vitrail, {NAMES[provider]}, {'fp16' if half else 'fp32'}"


def torch_contender(name: str, setup: Setup, compiled: bool) -> Contender:
    device = setup.plan.device
    network: Any = deepcopy(setup.network).to(device, torch.bfloat16)
    if compiled:
        network = torch.compile(network, dynamic=False)

    def bind(batch: Batch) -> Bound:
        pixels = torch.from_numpy(batch.pixels).to(device, torch.bfloat16)

        def step() -> Any:
            with torch.inference_mode():
                logits = network(pixels)
            if device == "cuda":
                torch.cuda.synchronize()
            return logits

        return Bound(step, lambda logits: logits.float().cpu().numpy())

    return Contender(name, PIXELS, bind, None, BF16)


def file_contender(setup: Setup, provider: Provider, half: bool) -> Contender:
    """The file as the server has it, fp16 converted from it; inputs and outputs stay on the device."""
    require_provider(provider)
    path = model_file(setup.plan, setup.folder)
    if half:
        path = half_file(path)
    name, threads = file_name(provider, half), usable_cores()
    bound = FP16 if half else FP32
    from vitrail.bench.infer.contenders import describe_file

    file = describe_file(path, 0.0)
    if provider == "cpu":
        ours = our_file(name, path, threads, file)
        return Contender(name, ours.takes, ours.bind, file, bound)
    from vitrail.bench.infer.cuda import our_file_on_gpu

    provider_options = engine_options(setup, path, half) if provider == "tensorrt" else None
    return our_file_on_gpu(name, path, threads, file, bound, provider, provider_options)


def half_file(path: Path) -> Path:
    from vitrail.exporting.fp16 import to_fp16

    half = path.with_name("model-fp16.onnx")
    if not half.is_file():
        half.write_bytes(to_fp16(path.read_bytes()))
    return half


def engine_options(setup: Setup, path: Path, half: bool) -> dict[str, str]:
    """As in the server, but for the largest batch of this run, and with its engines in this run's folder."""
    from vitrail.model_file.seal import sealed_digest
    from vitrail.runtime.tensorrt import shape, tensorrt_options

    largest = shape(max(setup.plan.batches), setup.plan.size)
    engines = setup.folder / f"engines-{path.stem}"
    engines.mkdir(exist_ok=True)
    return tensorrt_options(sealed_digest(path), setup.plan.size, half) | {
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_path": str(engines),
        "trt_profile_opt_shapes": largest,
        "trt_profile_max_shapes": largest,
    }


def measure_batch(plan: Plan, steps: Steps, size: int, ready: dict[str, Ready]) -> None:
    """A row a contender: medians over the rounds, and how many times as fast as torch.compile within each."""
    rounds = max(plan.rounds, MIN_ROUNDS)
    times = alternate({name: each.bound[size].step for name, each in ready.items()}, rounds, plan.seconds, plan.seed)
    for name, each in ready.items():
        taken = median_interval(times[name])
        figures: Figures = {
            "images_per_second": size / taken.value,
            "ms": 1000 * taken.value,
            "ms_low": 1000 * taken.low,
            "ms_high": 1000 * taken.high,
            "max_logit_error": each.error[size],
            "held_gib": each.gib,
        }
        if BASE in times and name != BASE:
            figures["times_torch_compile"] = median_interval(speedups(times[name], times[BASE])).value
        steps.row(f"{name}, batch {size}", "measured", figures)
