"""vitrail compare: which of several runs is better on the same test images, and whether chance would do as well."""

import json
from collections.abc import Sequence

from vitrail.parsers import Parser

ABOUT = """Compare runs image by image on the test images that they share.

  vitrail compare runs/images-vit runs/images-cnn
  vitrail compare runs/a runs/b runs/c --json

Each run has been measured by `vitrail test`. Accuracies and differences have 90 % intervals. A run is called better
where a paired test finds a difference at a level of 5 %: McNemar's exact test of images that are right or wrong, a
t-test of the errors of values; with more than two runs corrected for the number of pairs (Holm). Otherwise it says how
many test images would tell. Runs with other test images, classes or tasks are refused."""


def main(args: Sequence[str]) -> int:
    parser = Parser("compare", ABOUT)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder, or a predictions.npz")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(args)

    from vitrail.training.comparison.comparison import compare
    from vitrail.training.comparison.text import json_of, text_of

    compared = compare(options.runs)
    print(json.dumps(json_of(compared)) if options.json else text_of(compared))
    return 0
