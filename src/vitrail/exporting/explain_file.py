"""The second file: evidence and attention beside the logits, verified against the model file and the network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitrail.atomic import draft_of
from vitrail.errors import ParityError
from vitrail.exporting.attention_maps import attention_of, attention_weights, attentions, captured
from vitrail.exporting.graph import OPSET, Graph, Opset, example_of, trace
from vitrail.exporting.parity import BOUND, cpu_session
from vitrail.model_file.classifier import Classifier
from vitrail.model_file.explainer import Explainer
from vitrail.model_file.explanation import (
    METADATA_KEY,
    RULES,
    Evidence,
    ExplanationCard,
    ExplanationParity,
    Kind,
    explain_path,
)
from vitrail.model_file.seal import seal
from vitrail.models.evidence import Occlusion, exact_evidence, exact_grid, mean_head, occlusion_grid

BATCHES = (1, 3, 8)  # the sizes compared; the last one repeats
IMAGES: dict[Kind, int] = {"exact": 60, "approximate": 4}  # occlusion runs the network once a cell

Images = NDArray[np.uint8]
Outputs = dict[str, NDArray[np.float32]]


class ExplainGraph(nn.Module):
    """The model's own input rule and network, with the evidence for its logits and, where there is any, attention."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.input = graph.input
        self.network: Any = graph.network
        size = graph.input.rule.size
        head = mean_head(graph.network)
        grid = exact_grid(graph.network, head, size) if head is not None else None
        kind: Kind = "exact" if grid is not None else "approximate"
        self.head = head if kind == "exact" else None
        self.evidence = Evidence(kind, grid or occlusion_grid(graph.network, size), RULES[kind])
        self.occlusion = Occlusion(self.evidence.grid, size)
        self.attention = attention_of(graph.network, size)

    @property
    def outputs(self) -> list[str]:
        return ["logits", "evidence"] + (["attention"] if self.attention else [])

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """uint8 [N, H, W, 3] → logits [N, K], evidence [N, K, h, w] and perhaps attention [N, layers, heads, T, T]."""
        pixels = self.input(image)
        modules = attentions(self.network) if self.attention else []
        with captured(modules) as inputs:
            features = self.network.forward_features(pixels)
        logits = self.network.get_classifier()(self.network.forward_head(features, pre_logits=True))
        if self.head is not None:
            evidence = exact_evidence(self.head, features, self.evidence.grid)
        else:
            evidence = self.occlusion(self.network, pixels, logits)
        if not modules:
            return logits, evidence
        layers = [attention_weights(module, x) for module, x in zip(modules, inputs, strict=True)]
        return logits, evidence, torch.stack(layers, dim=1)


@dataclass(frozen=True)
class VerifiedExplanation:
    """A verified explain graph, not yet bound to its model file."""

    graph: ExplainGraph
    content: bytes
    parity: ExplanationParity


def explain(graph: Graph, model: bytes, images: Images, opset: Opset = OPSET) -> VerifiedExplanation:
    """The explain graph of a model, verified on test canvases; raises ParityError where it differs."""
    explaining = ExplainGraph(graph).eval()
    content = trace(explaining, example_of(graph.input.rule), explaining.outputs, opset)
    return VerifiedExplanation(explaining, content, prove_explanation(explaining, content, model, images))


def prove_explanation(graph: ExplainGraph, content: bytes, model: bytes, images: Images) -> ExplanationParity:
    """Compare logits with the model file's, evidence and attention with the network's, and evidence with its rule."""
    main, session = (cpu_session(each) for each in (model, content))
    chosen = evenly(len(images), IMAGES[graph.evidence.kind])
    logits, errors = [], []
    for batch in batches(images[chosen]):
        expected, actual = by_network(graph, batch), by_file(session, batch)
        expected["logits"] = by_file(main, batch)["logits"]
        logits.append(actual["logits"])
        errors.append(differences(graph, expected, actual))
    resized = images[chosen[:1]].repeat(3, axis=1).repeat(2, axis=2)  # no canvas: the graphs must also resize alike
    errors.append({"logits": largest(by_file(main, resized)["logits"] - by_file(session, resized)["logits"])})
    worst = {name: largest(np.array([error[name] for error in errors if name in error])) for name in errors[0]}
    parity = ExplanationParity(
        images=len(np.unique(chosen)),
        max_logit_error=worst["logits"],
        max_evidence_error=worst["evidence"],
        max_mean_error=worst.get("mean"),
        max_attention_error=worst.get("attention"),
    )
    refuse_differences(parity, float(np.concatenate(logits).std()))
    return parity


def refuse_differences(parity: ExplanationParity, logit_sd: float) -> None:
    bound = BOUND * max(1.0, logit_sd)
    for error, limit, what in (
        (parity.max_logit_error, bound, "logits of the explain file differ from the model file's"),
        (parity.max_evidence_error, bound, "evidence of the explain file differs from the network's"),
        (parity.max_mean_error or 0.0, bound, "the mean of the evidence differs from the logits"),
        (parity.max_attention_error or 0.0, BOUND, "attention of the explain file differs from the network's"),
    ):
        if not error <= limit:
            raise ParityError(f"{what} by {error:.2e}, over {limit:.2e}")


def differences(graph: ExplainGraph, expected: Outputs, actual: Outputs) -> dict[str, float]:
    errors = {name: largest(expected[name] - actual[name]) for name in graph.outputs}
    # Cells can be much larger than their mean, so their error is relative to their own deviation.
    errors["evidence"] /= max(1.0, float(expected["evidence"].std()))
    if graph.evidence.kind == "exact":
        errors["mean"] = largest(actual["evidence"].mean(axis=(2, 3)) - actual["logits"])
    return errors


def largest(difference: NDArray[np.float32]) -> float:
    return float(np.abs(difference).max())


def evenly(total: int, count: int) -> NDArray[np.int64]:
    """`count` indices below `total`, evenly spread; where there are fewer, some come more than once."""
    return np.linspace(0, total - 1, count).round().astype(np.int64)


def batches(images: Images) -> Iterator[Images]:
    begin, sizes = 0, list(BATCHES)
    while begin < len(images):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        yield images[begin : begin + size]
        begin += size


def by_network(graph: ExplainGraph, images: Images) -> Outputs:
    with torch.inference_mode():
        return {
            name: output.numpy() for name, output in zip(graph.outputs, graph(torch.from_numpy(images)), strict=True)
        }


def by_file(session: ort.InferenceSession, images: Images) -> Outputs:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": images}), strict=True))


def write_explanation(explained: VerifiedExplanation, model: Path) -> ExplanationCard:
    """Put the explain file beside its model file, once it loads as a user would load it."""
    path = explain_path(model)
    classifier = Classifier(model, "cpu")
    graph = explained.graph
    card = ExplanationCard(classifier.sha256, graph.evidence, graph.attention, explained.parity)
    content = onnx.load_from_string(explained.content)
    onnx.helper.set_model_props(content, {METADATA_KEY: card.to_json()})
    onnx.checker.check_model(content, full_check=True)
    with draft_of(path) as draft:
        draft.write_bytes(seal(content.SerializeToString()))
        Explainer(classifier, draft, "cpu")
    return card
