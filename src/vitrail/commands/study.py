"""vitrail study: compare models on growing subsets of the images."""

from collections.abc import Sequence
from pathlib import Path

from vitrail.commands.help_pages import shown
from vitrail.parsers import Parser

PAGE = """
Train contenders on growing subsets of the images, several seeds each, and compare them fairly.

  vitrail study --config digits
  vitrail study --config images --data.path my_images --dry-run
  vitrail study --config pretrained --data.path my_images --weights my_weights
  vitrail study --config fashion-mnist --workers 4 --contenders.ViT.net.init_args.depth 6
  vitrail study --config digits --executor ray --address 10.0.0.1:6379
  vitrail study --config digits --sizes all --sweep.ViT.mixup 0,0.2 --sweep.ViT.net.init_args.depth 2,4

Results go to runs/study-NAME: report.html to look at first, plan.json, a folder for every run, results.csv (what plan
and seeds determine) and timings.csv (what the machine does). The same command again continues a study where it
stopped; `vitrail study --report runs/study-NAME` rewrites the report and runs nothing.
--weights (or VITRAIL_WEIGHTS) is a folder with files such as deit_tiny_patch16_224.safetensors, each called after its
network in timm; without it `pretrained: true` downloads the weights of the network that it names.
Runs are doubled until longer ones no longer help; --budget 40min ends that earlier, and says where. --dry-run prints
what would run, and after a few steps of each how long it takes. --until-sure stops after a seed once the best contender
at the largest size is known with 95 % probability; --until-sure 0.9 asks for less.
--sweep.CONTENDER.OPTION compares values of an option, each combination as a contender of its own; --sizes all does so
with all images alone. Validation images choose among them; test images say which are clearly worse than the chosen one.
With --label-cost 0.05 and --hour-cost 0.4, of one worker's computing, the report says what more images and trainings
cost, in the --currency of both; both commands take them, and the folder keeps them.
"""


def main(args: Sequence[str]) -> int:
    if shown(args, "study", PAGE, "study"):
        return 0
    if any(argument.partition("=")[0] == "--report" for argument in args):
        return report_anew(args)
    from vitrail.training.study.parsing import parse_study

    options = parse_study(args)
    if options.dry_run:
        from vitrail.training.study.dry_run import dry_run

        dry_run(options)
        return 0
    from vitrail.training.study.dry_run import refuse_small_budget
    from vitrail.training.study.study import study

    study(options, refuse_small_budget(options))
    print(f"report: {options.folder / 'report.html'}")
    return 0


def report_anew(args: Sequence[str]) -> int:
    """Rewrite the report of an existing study, with these prices."""
    parser = Parser("study", "Rewrite the report of a study, and run nothing.")
    parser.add_argument("--report", type=Path, metavar="FOLDER")
    parser.add_argument("--label-cost", type=float)
    parser.add_argument("--hour-cost", type=float)
    parser.add_argument("--currency")
    options = parser.parse_args(args)
    from vitrail.training.study.prices import Prices, keep_prices
    from vitrail.training.study.report.report import write_report
    from vitrail.training.study.store import read_plan

    read_plan(options.report)  # of a study
    keep_prices(options.report, Prices(options.label_cost, options.hour_cost, options.currency))
    print(f"report: {write_report(options.report)}")
    return 0
