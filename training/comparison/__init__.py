"""`vitrail compare`: runs on the same test images, compared image by image (numpy and scipy alone)."""
