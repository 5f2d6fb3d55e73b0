"""The model file that infer and serve measure: a ViT with seeded weights, proved and with its card, made once a run."""

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from vitrail.bench.core.machine import PACKAGES, installed_versions
from vitrail.bench.gpu.plan import Plan
from vitrail.bench.gpu.steps import Absent
from vitrail.bench.infer.network import CLASSES, seeded_batch, seeded_network
from vitrail.images.canvas import InputRule
from vitrail.model_file.card import Card, Dataset, WholeImageParity
from vitrail.models import ViT
from vitrail.models.cost import count_flops, count_parameters
from vitrail.models.timm_models import pixel_statistics

IMAGES = 8  # that the file is proved on


def network_and_rule(plan: Plan) -> tuple[nn.Module, InputRule]:
    network = seeded_network(plan.name, plan.size, plan.seed)
    return network, InputRule(plan.size, "squash", *pixel_statistics(network))


def model_file(plan: Plan, folder: Path) -> Path:
    """`model.onnx` in the folder, written where it is not there yet."""
    path = folder / "model.onnx"
    if not path.is_file():
        write_seeded(plan, path)
    return path


def write_seeded(plan: Plan, path: Path) -> None:
    """What `vitrail export` writes, of a network that was never trained: no accuracy, temperature or threshold."""
    require_export()
    from vitrail.exporting.graph import Graph, to_onnx
    from vitrail.exporting.model_file import UNFITTED, golden_outputs, write_file
    from vitrail.exporting.parity import prove
    from vitrail.exporting.precision import Candidate

    network, rule = network_and_rule(plan)
    graph = Graph(network, rule, UNFITTED).eval()
    model = to_onnx(graph)
    kept = Candidate("fp32", model, prove(graph, model, seeded_batch(rule, IMAGES, plan.seed).canvases))
    card = Card(
        classes=tuple(map(str, range(CLASSES))),
        input=rule,
        architecture=ViT(name=plan.name).to_plain(),
        parameters=count_parameters(network),
        flops=count_flops(network, plan.size),
        dataset=Dataset("seeded-noise", str(plan.seed), 0, 0, IMAGES, plan.seed),
        seed=plan.seed,
        test_accuracy=None,
        parity=kept.proof.parity,
        whole=WholeImageParity(0, 0, None),
        calibration=None,
        abstention=None,
        precision="fp32",
        precisions=(),
        averaged_weights=False,
        golden=golden_outputs(kept, graph),
        versions=installed_versions(PACKAGES),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_file(path, model, card)


def require_export() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise Absent(
                f"{package} is not installed, so no model file can be written: pip install 'vitrail[gpu,export]'"
            )
