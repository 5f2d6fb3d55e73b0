"""Positions of vectors on the grid, which attention by itself does not know."""

from vitrail.vectors.positions.floater import Floater, Flow
from vitrail.vectors.positions.inside import Positions
from vitrail.vectors.positions.quadratic import Quadratic
from vitrail.vectors.positions.relative import Relative
from vitrail.vectors.positions.rope import Rope
from vitrail.vectors.positions.sincos2d import sincos2d

# Positions that act inside attention; the others are none, learned (timm's) and sincos2d, added once.
INSIDE: dict[str, type[Positions]] = {
    "relative": Relative,
    "quadratic": Quadratic,
    "floater": Floater,
    "rope": Rope,
}
NAMES = ("none", "learned", "sincos2d", *INSIDE)

__all__ = ["INSIDE", "NAMES", "Floater", "Flow", "Positions", "Quadratic", "Relative", "Rope", "sincos2d"]
