"""vitrail verify: check that a model file gives the same outputs here as where it was exported."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import get_args

from vitrail.parsers import Parser

ABOUT = """Run the model on the golden images and compare with the outputs in the file's card.

The images are drawn from an integer recipe, so nothing but the file is needed. Each part of the graph is listed with
its largest difference. A file that was altered since it was written is refused.
The exit code is 0 if all differences are within the tolerance, else 1."""


def main(args: Sequence[str]) -> int:
    from vitrail.runtime.providers import Provider

    parser = Parser("verify", ABOUT)
    parser.add_argument("model", help="a model.onnx written by `vitrail export`")
    parser.add_argument("--provider", default="auto", choices=get_args(Provider), help="where to run it")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(args)

    from vitrail.model_file.classifier import Classifier
    from vitrail.model_file.golden_check import check_golden

    classifier = Classifier(options.model, options.provider)
    check = check_golden(classifier)
    if options.json:
        parts = [{**asdict(part), "passed": part.passed} for part in check.parts]
        print(json.dumps({"passed": check.passed, "provider": classifier.provider, "parts": parts}))
        return 0 if check.passed else 1
    print(f"{options.model}: {'verified' if check.passed else 'DIFFERS'} on {classifier.provider}")
    for part in check.parts:
        mark = "ok     " if part.passed else "DIFFERS"
        print(f"  {mark}  {part.name}: off by {part.worst:.2e}, allowed {part.allowed:.2e}")
    return 0 if check.passed else 1
