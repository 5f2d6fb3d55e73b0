"""Images as sets of vectors."""

from vitrail.vectors.patches import patchify, unpatchify
from vitrail.vectors.sets import VectorSet

__all__ = ["VectorSet", "patchify", "unpatchify"]
