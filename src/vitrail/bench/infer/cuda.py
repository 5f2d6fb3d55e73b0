"""Our file on a GPU, with inputs and outputs on the device."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch

from vitrail.bench.infer.contenders import CANVASES, Bound, Contender, GraphFile
from vitrail.bench.infer.network import Batch
from vitrail.errors import ProviderError
from vitrail.exporting.graph import OUTPUTS
from vitrail.runtime.providers import PROVIDERS, Provider, choose_providers, exact, session_options

FP32 = 1e-3  # of logits
FP16 = 2e-2


def gpu_name() -> str:
    name: str = torch.cuda.get_device_name()
    return name


def our_file_on_gpu(
    name: str,
    path: Path,
    threads: int,
    file: GraphFile,
    bound: float,
    provider: Provider = "cuda",
    provider_options: Mapping[str, str] | None = None,
) -> Contender:
    """`provider_options`: those of TensorRT."""
    providers = exact(choose_providers(provider), provider_options)
    session = ort.InferenceSession(str(path), session_options(threads), providers=providers)
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise ProviderError("onnxruntime fell back to the CPU: check the GPU's driver and CUDA libraries")

    def bind(batch: Batch) -> Bound:
        binding = session.io_binding()
        binding.bind_ortvalue_input("image", ort.OrtValue.ortvalue_from_numpy(batch.canvases, "cuda", 0))
        for output in OUTPUTS:
            binding.bind_output(output, "cuda")

        def step() -> Any:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return binding

        return Bound(step, lambda done: done.copy_outputs_to_cpu()[1])

    return Contender(name, f"{CANVASES}, on the GPU", bind, file, bound)
