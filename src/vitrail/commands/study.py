"""vitrail study: find out which model this much data deserves."""

from collections.abc import Sequence

from vitrail.commands.pages import shown

PAGE = """
Train contenders on growing subsets of the pictures, several seeds each, and compare them fairly.

  vitrail study --config digits
  vitrail study --config digits --data.path my_pictures --data.size 64 --dry-run
  vitrail study --config fashion-mnist --workers 4 --contenders.ViT.net.init_args.depth 6
  vitrail study --config digits --executor ray --address 10.0.0.1:6379

Results go to runs/study-NAME: plan.json, a folder for every run, results.csv (what plan and seeds determine) and
timings.csv (what the machine does). The same command again goes on where the study stopped.
--dry-run prints what would run, and after a few steps of each how long it would take. --until-sure 0.95 stops early.
"""


def main(args: Sequence[str]) -> int:
    if shown(args, "study", PAGE, "study"):
        return 0
    from vitrail.training.study.words import read_words

    asked = read_words(args)
    if asked.dry_run:
        from vitrail.training.study.dry import dry_run

        dry_run(asked)
        return 0
    from vitrail.training.study.study import study

    study(asked)
    print(f"results: {asked.folder / 'results.csv'}")
    return 0
