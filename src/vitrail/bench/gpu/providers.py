"""Which of onnxruntime's providers can be measured here: one that is not there is absent, one that breaks failed."""

from importlib.util import find_spec

from vitrail.bench.gpu.steps import Absent
from vitrail.runtime.providers import PROVIDERS, Provider, require_one_onnxruntime
from vitrail.runtime.tensorrt import LIBRARY, has_tensorrt

NAMES = {"cpu": "CPU", "cuda": "CUDA", "tensorrt": "TensorRT"}


def require_provider(provider: Provider) -> None:
    if find_spec("onnxruntime") is None:
        raise Absent("onnxruntime is not installed: pip install 'vitrail[gpu]'")
    require_one_onnxruntime()
    import onnxruntime as ort

    if PROVIDERS[provider] not in ort.get_available_providers():
        raise Absent(f"no {NAMES[provider]} provider in this onnxruntime: pip install 'vitrail[gpu]' in its place")
    if provider == "tensorrt" and not has_tensorrt():
        raise Absent(f"there is no {LIBRARY}: pip install 'vitrail[tensorrt]'")
