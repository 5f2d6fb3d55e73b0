"""`vitrail bench data`: training images from files to batches, beside timm's loader and torchvision's."""
