"""Multilabel classification: several labels per image, or none."""
