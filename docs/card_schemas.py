"""Write the JSON Schemas of the cards into docs: python docs/card_schemas.py."""

import json
from pathlib import Path

from vitrail.model_file.card import card_schema
from vitrail.model_file.explanation import explanation_card_schema

DOCS = Path(__file__).parent
SCHEMAS = {
    "card-1.schema.json": card_schema,
    "explanation-card-1.schema.json": explanation_card_schema,
}

if __name__ == "__main__":
    for name, schema in SCHEMAS.items():
        (DOCS / name).write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n")
