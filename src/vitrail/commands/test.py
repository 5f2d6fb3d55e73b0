"""vitrail test: measure a checkpoint on the test images."""

from collections.abc import Sequence

from vitrail.commands.help_pages import shown

PAGE = """
Measure a checkpoint on the test images: top-1, top-5 and balanced accuracy, macro-F1, each class, with 95 % intervals;
of several labels F1 and average precision, of values MAE, RMSE and R², of cells accuracy and IoU.

  vitrail test --ckpt_path runs/digits-vit/checkpoints/best.ckpt

Refused where these are not the test images that the run recorded, so that none of them was trained on.
The predictions for all images go to predictions.npz in the run directory, and mistakes, confusions and calibration to
its report.html. `vitrail compare` says which of two tested runs is better.
The configuration of the run that the checkpoint lies in is used; --config takes another.
"""


def main(args: Sequence[str]) -> int:
    if not shown(args, "test", PAGE):
        from vitrail.training.cli import run

        run("test", args)
    return 0
