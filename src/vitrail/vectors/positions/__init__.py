"""Positions of vectors on the grid, which attention by itself does not know."""

from vitrail.vectors.positions.conditional import Conditional
from vitrail.vectors.positions.floater import Floater, Flow
from vitrail.vectors.positions.inside import Positions
from vitrail.vectors.positions.quadratic import Quadratic
from vitrail.vectors.positions.relative import Relative
from vitrail.vectors.positions.rope import Rope
from vitrail.vectors.positions.shaw import Shaw
from vitrail.vectors.positions.sincos import sincos1d, sincos2d

# Positions that act inside attention; of the others, learned (timm's), sincos1d and sincos2d are added
# once, and conditional to the input of each block.
INSIDE: dict[str, type[Positions]] = {
    "relative": Relative,
    "shaw": Shaw,
    "quadratic": Quadratic,
    "floater": Floater,
    "rope": Rope,
}
NAMES = ("none", "learned", "sincos1d", "sincos2d", "conditional", *INSIDE)

__all__ = [
    "INSIDE",
    "NAMES",
    "Conditional",
    "Floater",
    "Flow",
    "Positions",
    "Quadratic",
    "Relative",
    "Rope",
    "Shaw",
    "sincos1d",
    "sincos2d",
]
