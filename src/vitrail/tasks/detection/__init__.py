"""Boxes of an image, each with a label; the model decides how many."""
