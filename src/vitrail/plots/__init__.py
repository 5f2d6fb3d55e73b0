"""Drawings that inspect and the reports share (numpy, Pillow)."""
