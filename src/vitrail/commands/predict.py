"""vitrail predict: write a checkpoint's prediction for every test image into a table."""

from collections.abc import Sequence

from vitrail.commands.help_pages import shown

PAGE = """
Write predictions.csv into the run directory: every test image, its class and the predicted class.

  vitrail predict --ckpt_path runs/digits-vit/checkpoints/best.ckpt

To label other images, export the checkpoint and use `vitrail classify`.
"""


def main(args: Sequence[str]) -> int:
    if not shown(args, "predict", PAGE):
        from vitrail.training.cli import run

        run("predict", args)
    return 0
