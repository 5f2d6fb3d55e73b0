"""Sequences: labels of an image in their order, as many as it shows."""
