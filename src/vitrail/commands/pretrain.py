"""vitrail pretrain: train a ViT on images without labels, as the start of a `vitrail fit` on few labelled ones."""

from collections.abc import Sequence

from vitrail.commands.help_pages import shown

PAGE = """
Train a ViT on images without labels: it predicts masked patches from those that it sees.

  vitrail pretrain --config masked-vit --data.path my_images
  vitrail fit --config my_recipe.yaml --model.net.pretrained runs/masked-vit/checkpoints/best.ckpt

my_images is a folder of images, in sub-folders or not; or any set that `vitrail fit` takes, of which labels are ignored
and test images are not used. The second command trains the same net, with a new head, on labelled images; it refuses
test images that the first has seen. docs/pretraining.md says more.
Options, recipes and runs are those of `vitrail fit`: --ckpt_path runs/NAME/checkpoints/last.ckpt continues a run.
"""


def main(args: Sequence[str]) -> int:
    if not shown(args, "pretrain", PAGE):
        from vitrail.training.pretraining import pretrain

        pretrain(args)
    return 0
