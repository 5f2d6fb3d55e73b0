"""vitrail validate: measure a checkpoint on the validation images."""

from collections.abc import Sequence

from vitrail.commands.help_pages import shown

PAGE = """
Measure a checkpoint on the validation images: accuracy and loss.

  vitrail validate --ckpt_path runs/digits-vit/checkpoints/best.ckpt

The configuration of the run that the checkpoint lies in is used; --config takes another.
"""


def main(args: Sequence[str]) -> int:
    if not shown(args, "validate", PAGE):
        from vitrail.training.cli import run

        run("validate", args)
    return 0
