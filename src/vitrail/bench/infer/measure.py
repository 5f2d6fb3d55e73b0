"""`vitrail bench infer`: one network, computed in many ways, measured in one run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import nn

from vitrail.bench.core.machine import this_machine
from vitrail.bench.core.report import Absent, Progress, Report, RoundsPlan, silent
from vitrail.bench.core.rounds import MedianInterval, Times, Timings, run_rounds
from vitrail.bench.infer import cuda
from vitrail.bench.infer.contenders import (
    Bound,
    Contender,
    GraphFile,
    describe_file,
    logit_error,
    our_file,
    our_file_in_openvino,
    peer_file,
    peer_file_from_canvases,
    torch_contender,
)
from vitrail.bench.infer.network import CLASSES, Batch, expected_logits, seeded_batch, seeded_network
from vitrail.bench.infer.peer_exporters import EXPORTERS, Exporter, interpreter_of, run_exporter
from vitrail.bench.infer.preprocessing import preprocessing_share
from vitrail.errors import ParityError, UsageError, VitrailError, first_line
from vitrail.exporting.fp16 import to_fp16
from vitrail.exporting.graph import Graph, to_onnx
from vitrail.images.canvas import InputRule
from vitrail.models.network import count_parameters
from vitrail.models.timm_models import pixel_statistics
from vitrail.runtime.openvino import OPENVINO
from vitrail.runtime.providers import choose_providers, usable_cores

OURS = "vitrail"
FROM_CANVASES = ("timm",)  # the peers measured a second time, with their preprocessing


@dataclass(frozen=True)
class Plan(RoundsPlan):
    """What to measure and how long."""

    name: str = "vit_tiny_patch16_224"
    size: int = 224
    batches: tuple[int, ...] = (1, 8)
    threads: int | None = None
    provider: Literal["cpu", "cuda"] = "cpu"
    peers: str = ".peers"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.batches or min(self.batches) < 1:
            raise UsageError("a batch holds at least 1 image")
        if self.size < 1:
            raise UsageError(f"an image has a size of at least 1 pixel, not {self.size}")
        if self.threads is not None and self.threads < 1:
            raise UsageError("there is at least 1 thread")


@dataclass(frozen=True)
class Result:
    """One contender at one batch size."""

    name: str
    milliseconds: MedianInterval
    images_per_second: float
    max_logit_error: float
    speedup: MedianInterval


@dataclass(frozen=True)
class BatchResults:
    """One batch size: each contender's result, and the seconds a batch of every round."""

    batch: int
    background_load: float | None
    preprocessing: float | None  # its share of our file's node time, where that was profiled
    results: tuple[Result, ...]
    rounds: Times


@dataclass(frozen=True)
class ContenderInfo:
    """A contender as the report describes it."""

    name: str
    takes: str
    file: GraphFile | None


@dataclass(frozen=True, kw_only=True)
class InferReport(Report):
    """All contenders at all batch sizes."""

    plan: Plan
    threads: int
    classes: int
    parameters: int
    peers: dict[str, dict[str, str]]
    contenders: tuple[ContenderInfo, ...]
    absent: tuple[Absent, ...]
    measured: tuple[BatchResults, ...]
    kind: Literal["infer"] = "infer"


def measure(plan: Plan, progress: Progress = silent) -> InferReport:
    """Export the network in all ways, check that all compute the same function, and time them against each other."""
    on_gpu = plan.provider == "cuda"
    if on_gpu:
        choose_providers("cuda")  # fails early, in one line, where there is none
    machine = this_machine(cuda.gpu_name() if on_gpu else None)
    threads = plan.threads or usable_cores()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        network = seeded_network(plan.name, plan.size, plan.seed)
        rule = InputRule(plan.size, "squash", *pixel_statistics(network))
        with TemporaryDirectory() as folder:
            setup = Setup(plan, threads, network, rule, Path(folder), progress)
            contenders, absent, peers = setup.on_gpu() if on_gpu else setup.on_cpu()
            measured, dropped = measure_batches(plan, network, rule, contenders, progress)
            if not on_gpu:
                measured = tuple(with_preprocessing(one, setup, threads) for one in measured)
    finally:
        torch.set_num_threads(before)
    names = {each.name for each in dropped}
    return InferReport(
        machine=machine,
        plan=plan,
        threads=threads,
        classes=CLASSES,
        parameters=count_parameters(network),
        peers=peers,
        contenders=tuple(
            ContenderInfo(each.name, each.takes, each.file) for each in contenders if each.name not in names
        ),
        absent=(*absent, *dropped),
        measured=measured,
    )


Contenders = tuple[list[Contender], list[Absent], dict[str, dict[str, str]]]


@dataclass(frozen=True)
class Setup:
    """What contenders are made from: the network, and a folder for their files."""

    plan: Plan
    threads: int
    network: nn.Module
    rule: InputRule
    folder: Path
    progress: Progress

    def on_cpu(self) -> Contenders:
        path, file = self.export_ours()
        contenders = [
            our_file(OURS, path, self.threads, file),
            our_file(f"{OURS}, threads that spin", path, self.threads, file, spinning=True),
        ]
        in_openvino, missing = self.in_openvino(path, file)
        theirs, absent, versions = self.peers()
        in_torch = [
            torch_contender("torch, eager", self.network, compiled=False),
            torch_contender("torch.compile", self.network, compiled=True),
        ]
        return [*contenders, *in_openvino, *theirs, *in_torch], [*missing, *absent], versions

    def in_openvino(self, path: Path, file: GraphFile) -> tuple[list[Contender], list[Absent]]:
        contenders, absent = [], []
        for provider in OPENVINO:
            name = f"{OURS} in {OPENVINO[provider]}"
            try:
                contenders.append(our_file_in_openvino(provider, name, path, self.rule.size, self.threads, file))
            except VitrailError as fault:
                absent.append(Absent(name, str(fault)))
        return contenders, absent

    def on_gpu(self) -> Contenders:
        path, file = self.export_ours()
        begin = perf_counter()
        half = self.folder / "half.onnx"
        half.write_bytes(to_fp16(path.read_bytes()))
        ours = [
            cuda.our_file_on_gpu(OURS, path, self.threads, file, cuda.FP32),
            cuda.our_file_on_gpu(
                f"{OURS}, fp16", half, self.threads, describe_file(half, perf_counter() - begin), cuda.FP16
            ),
        ]
        compiled = torch_contender("torch.compile, bf16", self.network, True, "cuda", torch.bfloat16)
        return [*ours, compiled], [], {}

    def export_ours(self) -> tuple[Path, GraphFile]:
        self.progress("exporting: vitrail")
        path = self.folder / f"{OURS}.onnx"
        begin = perf_counter()
        path.write_bytes(to_onnx(Graph(self.network, self.rule, temperature=1.0).eval()))
        return path, describe_file(path, perf_counter() - begin)

    def peers(self) -> Contenders:
        weights = self.folder / "weights.safetensors"
        save_file(self.network.state_dict(), weights)
        job = {"name": self.plan.name, "size": self.plan.size, "classes": CLASSES, "weights": str(weights)}
        contenders: list[Contender] = []
        absent: list[Absent] = []
        versions: dict[str, dict[str, str]] = {}
        for exporter in EXPORTERS:
            self.progress(f"exporting: {exporter.name}")
            python = interpreter_of(exporter, Path(self.plan.peers))
            if not python.is_file():
                absent.append(Absent(exporter.name, f"not installed at {self.plan.peers}: run `make peers`"))
                continue
            done = run_exporter(exporter, python, job, self.folder)
            if done.error:
                absent.append(Absent(exporter.name, done.error))
                continue
            versions[exporter.name] = done.versions
            contenders += self.from_file(exporter, done.path, describe_file(done.path, done.seconds))
        return contenders, absent, versions

    def from_file(self, exporter: Exporter, path: Path, file: GraphFile) -> list[Contender]:
        plain = peer_file(exporter.name, path, self.threads, file)
        if exporter.name not in FROM_CANVASES:
            return [plain]
        name = f"{exporter.name} after numpy"
        return [plain, peer_file_from_canvases(name, path, self.threads, file, self.rule)]


def measure_batches(
    plan: Plan, network: nn.Module, rule: InputRule, contenders: Sequence[Contender], progress: Progress
) -> tuple[tuple[BatchResults, ...], list[Absent]]:
    """Every batch size in turn; a contender that is dropped at one is dropped at all."""
    batches = [seeded_batch(rule, size, plan.seed) for size in plan.batches]
    ready: list[dict[str, tuple[Bound, float]]] = [{} for _ in batches]
    dropped: list[Absent] = []
    for contender in contenders:
        progress(f"comparing logits: {contender.name}")
        try:
            for bounds, batch in zip(ready, batches, strict=True):
                bound = contender.bind(batch)
                bounds[contender.name] = bound, logit_error(contender, bound, expected_logits(network, batch))
        except ParityError as fault:
            if contender.name == OURS:
                raise
            dropped.append(Absent(contender.name, str(fault)))
        except RuntimeError as fault:  # torch.compile where there is no C++ compiler
            dropped.append(Absent(contender.name, f"not available: {first_line(fault)}"))
    names = {each.name for each in dropped}
    fit = [{name: pair for name, pair in bounds.items() if name not in names} for bounds in ready]
    measured = (measure_batch(plan, batch, place, progress) for batch, place in zip(batches, fit, strict=True))
    return tuple(measured), dropped


def measure_batch(plan: Plan, batch: Batch, ready: dict[str, tuple[Bound, float]], progress: Progress) -> BatchResults:
    steps = {name: bound.step for name, (bound, _) in ready.items()}
    timings = run_rounds(
        steps, plan.rounds, plan.seconds, plan.seed, progress=lambda line: progress(f"batch {len(batch)}: {line}")
    )
    results = tuple(result_of(name, len(batch), timings, error) for name, (_, error) in ready.items())
    return BatchResults(len(batch), timings.background_load, None, results, timings.rounds)


def with_preprocessing(measured: BatchResults, setup: Setup, threads: int) -> BatchResults:
    canvases = seeded_batch(setup.rule, measured.batch, setup.plan.seed).canvases
    return replace(measured, preprocessing=preprocessing_share(setup.folder / f"{OURS}.onnx", canvases, threads))


def result_of(name: str, images: int, timings: Timings, error: float) -> Result:
    milliseconds = timings.milliseconds(name)
    return Result(name, milliseconds, 1000 * images / milliseconds.value, error, timings.speedup(OURS, name))
