"""`vitrail bench train`: training on JPEG files, beside timm's loop and a plain loop over an `ImageFolder`."""
