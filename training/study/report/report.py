"""From the results of a study to the files of its report, in the folder of the study."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vitrail.atomic import write_atomically
from vitrail.training.study.report.html import page
from vitrail.training.study.report.markdown import markdown
from vitrail.training.study.report.outline import build_report
from vitrail.training.study.report.results import StudyResults, read_study
from vitrail.training.study.report.static_plots import plot
from vitrail.training.study.statistics.contrasts import contrasts

DIGITS = 6  # significant ones in curves.json; further ones differ between machines


def write_report(folder: Path, results: StudyResults | None = None) -> Path:
    """Write all files of the report, deterministically; returns the path of the page."""
    results = results or read_study(folder)
    files = pages(results)
    if results.has_curves:
        files |= {f"learning_curves.{kind}": plot(results, kind) for kind in ("png", "svg")}
    for name, content in files.items():
        write_atomically(folder / name, content)
    return folder / "report.html"


def pages(results: StudyResults) -> dict[str, bytes]:
    """The numbers and the two forms of the page."""
    report = build_report(results)
    return {
        "curves.json": curves_json(results),
        "report.md": markdown(report).encode(),
        "report.html": page(report, results).encode(),
    }


def curves_json(results: StudyResults) -> bytes:
    """The forecast for programs, with the hash of the plan, and the choice of a sweep."""
    content = {"plan": results.resolved.hash, **rounded(asdict(results.forecast))}
    if results.has_choice:
        content["choice"] = rounded(chosen_of(results))
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def chosen_of(results: StudyResults) -> dict[str, Any]:
    """The validation errors, the chosen contender first, and the others beside it."""
    errors = {name: one.error for name, one in results.validation_scores.items()}
    compared = contrasts(results.forecast, list(errors)) if errors else {}
    others = [asdict(one) | {"verdict": one.verdict} for one in compared.values()]
    return {"chosen": next(iter(errors), None), "validation_errors": errors, "others": others}


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
