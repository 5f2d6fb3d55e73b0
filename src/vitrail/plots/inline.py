"""An image as an HTML element that holds it."""

import io
from base64 import b64encode

from PIL import Image

from vitrail.plots.markup import void

ENLARGED = 48  # a longer side under it is drawn twice as large or more
QUALITY = 80


def inline(image: Image.Image, side: int, alt: str = "") -> str:
    """At most `side` pixels a side; few pixels are kept as they are and enlarged."""
    image = image.copy()
    image.thumbnail((side, side))
    kind = "png" if max(image.size) < ENLARGED else "jpeg"
    file = io.BytesIO()
    image.save(file, kind, quality=QUALITY)
    scale = max(1, side // max(image.size))
    return void(
        "img",
        src=f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}",
        alt=alt,
        width=scale * image.width,
        height=scale * image.height,
        class_="enlarged" if scale > 1 else None,
    )
