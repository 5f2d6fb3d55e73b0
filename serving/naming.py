"""What a model is called where a short name is needed: in answers, in addresses, as a Bento."""

import re

from vitrail.model_file.card import Card


def model_name(card: Card) -> str:
    """Its data and its architecture, in small letters, digits and hyphens: digits-vit, pets-resnet18."""
    made = card.architecture.get("init_args", {}).get("name") or card.architecture.get("class_path", "model")
    return re.sub(r"[^a-z0-9]+", "-", f"{card.dataset.name}-{made.rpartition('vitrail.models.')[2]}".lower()).strip("-")
