"""Several labels an image, or none."""
