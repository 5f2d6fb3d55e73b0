"""The forecast as `curves.json`: all that the page shows, for programs."""

import json
from dataclasses import asdict
from typing import Any

from vitrail.training.study.report.results import Found

DIGITS = 6  # that count; further ones differ between machines


def numbers(found: Found) -> bytes:
    content = {"plan": found.hash, **rounded(asdict(found.forecast))}
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
