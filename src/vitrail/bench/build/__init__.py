"""What `vitrail build` reaches in a few minutes, beside timm's training script."""
