"""vitrail verify: check that a model file answers here as it did where it was made."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from vitrail.commands.parsing import Parser

ABOUT = """Answer the golden pictures again and compare with what the file's card expects.

The pictures are drawn from an integer recipe, so nothing but the file is needed.
Ends with 0 where every answer lies within the tolerance, with 1 where one does not."""


def main(args: Sequence[str]) -> int:
    parser = Parser("verify", ABOUT)
    parser.add_argument("model", help="a model.onnx written by `vitrail export`")
    parser.add_argument("--provider", default="auto", choices=["auto", "cpu", "cuda"], help="where to run it")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(args)

    from vitrail.classifier import Classifier

    classifier = Classifier(options.model, options.provider)
    check = classifier.check_golden()
    if options.json:
        print(json.dumps({**asdict(check), "passed": check.passed, "provider": classifier.provider}))
    else:
        verdict = "verified" if check.passed else f"DIFFERS at golden picture {check.picture}"
        print(
            f"{options.model}: {verdict} on {classifier.provider}: "
            f"largest logit difference {check.worst:.2e}, allowed {check.allowed:.2e}"
        )
    return 0 if check.passed else 1
