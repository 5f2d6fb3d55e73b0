"""The model file of infer and serve, a ViT with seeded weights made once a run; and the providers available here."""

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from vitrail.bench.core.machine import PACKAGES
from vitrail.bench.gpu.plan import Plan
from vitrail.bench.gpu.steps import Absent
from vitrail.bench.infer.network import CLASSES, seeded_batch, seeded_network
from vitrail.images.canvas import InputRule
from vitrail.model_file.card import Card, Dataset, WholeImageParity
from vitrail.models import ViT
from vitrail.models.network import count_flops, count_parameters
from vitrail.models.timm_models import pixel_statistics
from vitrail.runtime.machine import installed_versions
from vitrail.runtime.providers import PROVIDERS, Provider, require_one_onnxruntime
from vitrail.runtime.tensorrt import LIBRARY, has_tensorrt

NAMES = {"cpu": "CPU", "cuda": "CUDA", "cuda-tf32": "CUDA with TF32", "tensorrt": "TensorRT"}
IMAGES = 8  # for the parity check


def network_and_rule(plan: Plan) -> tuple[nn.Module, InputRule]:
    network = seeded_network(plan.name, plan.size, plan.seed)
    return network, InputRule(plan.size, "squash", *pixel_statistics(network))


def model_file(plan: Plan, folder: Path) -> Path:
    """`model.onnx` in the folder, written on the first call."""
    path = folder / "model.onnx"
    if not path.is_file():
        write_seeded(plan, path)
    return path


def write_seeded(plan: Plan, path: Path) -> None:
    """Like `vitrail export`, for an untrained network: without accuracy, temperature and threshold."""
    require_export()
    from vitrail.exporting.graph import Graph, to_onnx
    from vitrail.exporting.model_file import UNFITTED, golden_outputs, write_file
    from vitrail.exporting.parity import prove
    from vitrail.exporting.precision import Candidate

    network, rule = network_and_rule(plan)
    graph = Graph(network, rule, UNFITTED).eval()
    model = to_onnx(graph)
    candidate = Candidate("fp32", model, prove(graph, model, seeded_batch(rule, IMAGES, plan.seed).canvases))
    card = Card(
        classes=tuple(map(str, range(CLASSES))),
        input=rule,
        architecture=ViT(name=plan.name).to_plain(),
        parameters=count_parameters(network),
        flops=count_flops(network, rule),
        dataset=Dataset("seeded-noise", str(plan.seed), 0, 0, IMAGES, plan.seed),
        seed=plan.seed,
        test_accuracy=None,
        parity=candidate.proof.parity,
        whole=WholeImageParity(0, 0, None),
        calibration=None,
        abstention=None,
        precision="fp32",
        precisions=(),
        averaged_weights=False,
        golden=golden_outputs(candidate, graph),
        versions=installed_versions(PACKAGES),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        task="classification",
    )
    write_file(path, model, card)


def require_export() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise Absent(
                f"{package} is not installed, so no model file can be written: pip install 'vitrail[gpu,export]'"
            )


def require_provider(provider: Provider) -> None:
    """Raises `Absent` where it is not installed; a provider that is installed and broken fails later."""
    if find_spec("onnxruntime") is None:
        raise Absent("onnxruntime is not installed: pip install 'vitrail[gpu]'")
    require_one_onnxruntime()
    import onnxruntime as ort

    if PROVIDERS.get(provider, PROVIDERS["cuda"]) not in ort.get_available_providers():
        raise Absent(f"no {NAMES[provider]} provider in this onnxruntime: pip install 'vitrail[gpu]' in its place")
    if provider == "tensorrt" and not has_tensorrt():
        raise Absent(f"there is no {LIBRARY}: pip install 'vitrail[tensorrt]'")
