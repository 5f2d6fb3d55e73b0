"""Built-in sets drawn from the seed, each a question that some network finds hard; no download."""

from vitrail.data.procedural.generator import Generator, Procedural
from vitrail.data.procedural.pathfinder import PATHFINDERS
from vitrail.data.procedural.same_different import SAME_DIFFERENT
from vitrail.data.procedural.shapes import SHAPES

GENERATORS: dict[str, Generator] = {generator.name: generator for generator in (SHAPES, SAME_DIFFERENT, *PATHFINDERS)}

__all__ = ["GENERATORS", "Generator", "Procedural"]
