"""Short names are safe in an address and as a Bento's tag."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vitrail.model_file.classifier import Classifier
from vitrail.serving.settings import model_name


@pytest.mark.parametrize(
    ("dataset", "architecture", "name"),
    [
        ("digits", {"class_path": "vitrail.models.CNN", "init_args": {"name": None}}, "digits-cnn"),
        (
            "My Pets (2024)",
            {"class_path": "vitrail.models.ViT", "init_args": {"name": "vit_tiny"}},
            "my-pets-2024-vit-tiny",
        ),
        ("日本", {}, "model"),
    ],
)
def test_model_name(model_file: Path, dataset: str, architecture: dict[str, Any], name: str) -> None:
    card = Classifier(model_file, "cpu").card
    renamed = replace(card, dataset=replace(card.dataset, name=dataset), architecture=architecture)
    assert model_name(renamed) == name
    assert re.fullmatch("[a-z0-9-]+", name)
