"""vitrail fit: train a ViT or a CNN from a YAML recipe."""

from collections.abc import Sequence

from vitrail.commands.help_pages import shown

PAGE = """
Train a network from a YAML recipe, shipped or your own; any value can be set on the command line.

  vitrail fit --config digits-vit
  vitrail fit --config images-cnn --data.path my_images
  vitrail fit --config digits-vit --data.images 300 --trainer.max_steps 400 --run runs/few
  vitrail fit --config digits-vit --print_config > my_recipe.yaml

my_images holds one folder per class, or train, val and test folders of such; or it is a manifest, CSV or Parquet, with
the columns path and label, labels (several an image), sequence, boxes, map or values; see docs/sources.md, also for
your own source. Datasets that need no images: digits, digit-rows, digit-scenes-…, and shapes, same-different,
pathfinder-32-6 (docs/procedural.md).
Datasets of others: torchvision:CIFAR10@FOLDER, hf:NAME, WebDataset shards (docs/external.md).
Results go to runs/NAME: config.yaml, metrics.csv, TensorBoard events, checkpoints/best.ckpt and last.ckpt, and
report.html with the curves.
--run runs/NAME --resume goes on with a run where it stopped, or begins it: the same command is right again after
Ctrl-C, a crash or the end of a job. To train longer, add --trainer.max_steps 2000. --ckpt_path CHECKPOINT goes on in a
new folder; to start a new run from its weights give --model.net.pretrained CHECKPOINT in its place.
--model.net my_net.MyNet takes your own nn.Module, or vitrail.models.Architecture, from my_net.py in the current folder;
--model my_module.MyModule a LightningModule, --data my_data.MyData a LightningDataModule beside it; --optimizer and
--lr_scheduler as in LightningCLI (docs/own.md).
"""


def main(args: Sequence[str]) -> int:
    if not shown(args, "fit", PAGE):
        from vitrail.training.cli import run

        run("fit", args)
    return 0
