"""What fronts know of the model, as the engine writes it for them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail.model_file.card import Card
from vitrail.model_file.described import DescribedModel
from vitrail.model_file.explanation import ExplanationCard
from vitrail.serving.engine.inference import Loaded
from vitrail.serving.processes.memory import create


@dataclass(frozen=True)
class ModelElsewhere(DescribedModel):
    """A model that another process has loaded."""

    path: Path
    card: Card
    sha256: str
    provider: str
    shapes: dict[str, list[int | str]]


def write(loaded: Loaded) -> int:
    """A new descriptor of memory that has it."""
    model = loaded.model
    content: dict[str, Any] = {
        "model": model
        and {
            "path": str(model.path),
            "card": model.card.to_json(),
            "sha256": model.sha256,
            "provider": model.provider,
            "shapes": dict(model.shapes),
        },
        "reason": loaded.reason,
        "explanations": loaded.explanations and loaded.explanations.to_json(),
        "no_explainer_reason": loaded.no_explainer_reason,
        "largest_batch": loaded.largest_batch,
        "jpegs": loaded.jpegs,
        "seconds": loaded.seconds,
    }
    data = json.dumps(content).encode()
    descriptor = create(len(data))
    os.pwrite(descriptor, data, 0)
    return descriptor


def read(descriptor: int) -> Loaded:
    content = json.loads(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
    model, explanations = content["model"], content["explanations"]
    if model:
        model = ModelElsewhere(**{**model, "path": Path(model["path"]), "card": Card.from_json(model["card"])})
    return Loaded(
        model or None,
        content["reason"],
        ExplanationCard.from_json(explanations) if explanations else None,
        content["no_explainer_reason"],
        content["largest_batch"],
        content["jpegs"],
        content["seconds"],
    )
