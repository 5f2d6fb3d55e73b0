"""What the files of a run say: curves and speed from metrics.csv, settings from config.yaml, and its environment."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

SPEED = "images_per_second"
WAITING = "data_wait"
NOT_CURVES = ("step", "epoch")

Points = tuple[tuple[float, float], ...]  # (steps done, value)


@dataclass(frozen=True)
class RunFiles:
    """Those that are missing are empty: a checkpoint can be tested without the rest of its run."""

    metrics: Mapping[str, Points]
    settings: str  # config.yaml as it is
    environment: Mapping[str, Any]

    @classmethod
    def of(cls, run: Path) -> "RunFiles":
        environment, settings = run / "environment.json", run / "config.yaml"
        return cls(
            read_metrics(run / "metrics.csv"),
            settings.read_text(encoding="utf-8") if settings.is_file() else "",
            json.loads(environment.read_text(encoding="utf-8")) if environment.is_file() else {},
        )

    def setting(self, dotted: str) -> Any:
        """One value of the settings, by its name on the command line; None where there is none."""
        value = yaml.safe_load(self.settings)
        for name in dotted.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value


def read_metrics(path: Path) -> dict[str, Points]:
    """Each column of metrics.csv that is measured during training; the file is read row by row."""
    columns: dict[str, list[tuple[float, float]]] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for name, step, value in filter(is_finite, measured(row)):
                    columns.setdefault(name, []).append((step, value))
    return {name: tuple(points) for name, points in columns.items()}


def measured(row: Mapping[str, str]) -> Iterator[tuple[str, float, float]]:
    """Lightning numbers a step from 0, so that its metrics are those after one step more; speeds count steps done."""
    for name, value in row.items():
        if value and name not in NOT_CURVES:
            yield name, int(row["step"]) + (name not in (SPEED, WAITING)), float(value)


def is_finite(point: tuple[str, float, float]) -> bool:
    """A loss that overflowed has no place in a curve."""
    return isfinite(point[2])
