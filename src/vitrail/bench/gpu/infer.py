"""The model file under CUDA and TensorRT beside torch, in alternating rounds, logits compared first."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from vitrail.bench.core.rounds import run_rounds
from vitrail.bench.gpu.device import used_gib
from vitrail.bench.gpu.plan import Figures, Plan
from vitrail.bench.gpu.steps import Steps
from vitrail.bench.gpu.subject import NAMES, model_file, network_and_rule, require_provider
from vitrail.bench.infer.contenders import (
    CANVASES,
    Bound,
    Contender,
    describe_file,
    logit_error,
    our_file,
    torch_contender,
)
from vitrail.bench.infer.cuda import FP16, FP32, our_file_on_gpu
from vitrail.bench.infer.network import Batch, expected_logits, seeded_batch
from vitrail.images.canvas import InputRule
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.described import Outputs
from vitrail.runtime.bound import AT_ONCE
from vitrail.runtime.providers import Provider, usable_cores

BASELINE = "torch.compile, bf16"


@dataclass(frozen=True)
class Ready:
    """A contender with every batch bound, its logit error, and the device memory that it uses."""

    bound: dict[int, Bound]
    error: dict[int, float]
    gib: float


@dataclass(frozen=True)
class Subject:
    """The network of all contenders, and what they are compared with."""

    plan: Plan
    folder: Path
    network: nn.Module
    rule: InputRule

    def batches(self) -> dict[int, Batch]:
        return {size: seeded_batch(self.rule, size, self.plan.seed) for size in self.plan.batches}


def measure(plan: Plan, steps: Steps, folder: Path) -> None:
    """Prepare each contender; those that succeed alternate at each batch size."""
    subject = Subject(plan, folder, *network_and_rule(plan))
    batches = subject.batches()
    expected = {size: expected_logits(subject.network, batch) for size, batch in batches.items()}
    ready: dict[str, Ready] = {}

    def prepare(name: str, make: Callable[[], Contender]) -> None:
        before = used_gib(plan.device)
        contender = make()
        bound = {size: contender.bind(batch) for size, batch in batches.items()}
        error = {size: logit_error(contender, bound[size], expected[size]) for size in batches}
        ready[name] = Ready(bound, error, used_gib(plan.device) - before)

    for name, make, max_seconds in contenders(subject):
        steps.attempt(name, partial(prepare, name, make), min_seconds=10, max_seconds=max_seconds, prepares=True)
    for size in plan.batches:
        steps.attempt(
            f"batch {size}", partial(measure_batch, plan, steps, size, ready), min_seconds=10, max_seconds=120
        )


def contenders(subject: Subject) -> list[tuple[str, Callable[[], Contender], float]]:
    """Each with the seconds that its preparation may take; torch first, as it needs no file."""
    plan = subject.plan
    in_torch = [("torch, eager, bf16", False, 60.0), *([(BASELINE, True, 150.0)] if plan.compiled else [])]
    files = [(provider, half) for provider in plan.providers for half in (False, True)]
    return [
        *(
            (name, partial(torch_contender, name, subject.network, compiled, plan.device, torch.bfloat16), seconds)
            for name, compiled, seconds in in_torch
        ),
        *((file_name(*each), partial(file_contender, subject, *each), 150.0) for each in files),
        *((served_name(each), partial(served_contender, subject, each), 150.0) for each in served_providers(plan)),
    ]


def served_providers(plan: Plan) -> tuple[Provider, ...]:
    rounding: tuple[Provider, ...] = ("cuda-tf32",) if "cuda" in plan.providers else ()
    return (*plan.providers, *rounding)


def served_name(provider: Provider) -> str:
    return f"vitrail, {NAMES[provider]}, as the server computes"


def served_contender(subject: Subject, provider: Provider) -> Contender:
    """Canvases from the host, results back there, a batch copied while the one before is computed."""
    require_provider(provider)
    path = model_file(subject.plan, subject.folder)
    model = Classifier(path, provider)

    def bind(batch: Batch) -> Bound:
        return Bound(overlapped(lambda: model.predict_parts([batch.canvases])), lambda outputs: outputs.logits)

    bound = FP16 if provider == "cuda-tf32" else FP32
    return Contender(served_name(provider), CANVASES, bind, describe_file(path, 0.0), bound)


def overlapped(compute: Callable[[], Outputs]) -> Callable[[], Outputs]:
    """A step that returns what an earlier one began; as many are under way as the server has."""
    pool = ThreadPoolExecutor(AT_ONCE)
    begun: deque[Future[Outputs]] = deque()

    def step() -> Outputs:
        while len(begun) < AT_ONCE:
            begun.append(pool.submit(compute))
        return begun.popleft().result()

    return step


def file_name(provider: Provider, half: bool) -> str:
    return f"vitrail, {NAMES[provider]}, {'fp16' if half else 'fp32'}"


def file_contender(subject: Subject, provider: Provider, half: bool) -> Contender:
    """The file as it is served, or its fp16 form; inputs and outputs stay on the device."""
    require_provider(provider)
    path = model_file(subject.plan, subject.folder)
    if half:
        path = half_file(path)
    name, threads = file_name(provider, half), usable_cores()
    bound = FP16 if half else FP32
    file = describe_file(path, 0.0)
    if provider == "cpu":
        ours = our_file(name, path, threads, file)
        return Contender(name, ours.takes, ours.bind, file, bound)
    provider_options = engine_options(subject, path, half) if provider == "tensorrt" else None
    return our_file_on_gpu(name, path, threads, file, bound, provider, provider_options)


def half_file(path: Path) -> Path:
    from vitrail.exporting.fp16 import to_fp16

    half = path.with_name("model-fp16.onnx")
    if not half.is_file():
        half.write_bytes(to_fp16(path.read_bytes()))
    return half


def engine_options(subject: Subject, path: Path, half: bool) -> dict[str, str]:
    """The server's options, for the largest batch of this run, with engines in this run's folder."""
    from vitrail.model_file.seal import sealed_digest
    from vitrail.runtime.tensorrt import shape, tensorrt_options

    largest = shape(max(subject.plan.batches), subject.plan.size)
    engines = subject.folder / f"engines-{path.stem}"
    engines.mkdir(exist_ok=True)
    return tensorrt_options(sealed_digest(path), subject.plan.size, half) | {
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_path": str(engines),
        "trt_profile_opt_shapes": largest,
        "trt_profile_max_shapes": largest,
    }


def measure_batch(plan: Plan, log: Steps, size: int, ready: dict[str, Ready]) -> None:
    """A row a contender: medians over rounds, and the speedup over torch.compile within each."""
    steps = {name: each.bound[size].step for name, each in ready.items()}
    timings = run_rounds(steps, plan.rounds, plan.seconds, plan.seed)
    for name, each in ready.items():
        milliseconds = timings.milliseconds(name)
        figures: Figures = {
            "images_per_second": 1000 * size / milliseconds.value,
            "ms": milliseconds.value,
            "ms_low": milliseconds.low,
            "ms_high": milliseconds.high,
            "max_logit_error": each.error[size],
            "held_gib": each.gib,
        }
        if BASELINE in ready and name != BASELINE:
            figures["speedup_over_torch_compile"] = timings.speedup(name, BASELINE).value
        log.row(f"{name}, batch {size}", "measured", figures)
