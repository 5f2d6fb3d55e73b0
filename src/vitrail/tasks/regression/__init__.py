"""Numbers of an image: how many, how large, how far."""
