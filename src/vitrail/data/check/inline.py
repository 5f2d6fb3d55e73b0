"""An image of a set as an HTML element that holds it."""

import io
from base64 import b64encode

from PIL import Image

from vitrail.data.check.listing import Item, Listing
from vitrail.errors import DataError, ImageError
from vitrail.images.decode import decode
from vitrail.plots.markup import void

SIDE = 120  # of the longer side at most, in pixels
ENLARGED = 48  # a longer side under it is drawn twice as large or more
QUALITY = 80
SHADE = 0.35  # of the brightness that a centre crop cuts


def inline_image(listing: Listing, item: Item, side: int = SIDE, crops: bool = False) -> str:
    """The element, or nothing if the image does not decode; with `crops`, what a centre crop cuts is dark."""
    try:
        image = load(listing, item, side)
    except (OSError, ImageError, DataError):
        return ""
    image.thumbnail((side, side))
    if crops:
        image = shaded(image)
    file = io.BytesIO()
    if max(image.size) < ENLARGED:
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=QUALITY)
    kind = "png" if max(image.size) < ENLARGED else "jpeg"
    scale = max(1, side // max(image.size))
    return void(
        "img",
        src=f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}",
        alt="",
        width=scale * image.width,
        height=scale * image.height,
        class_="enlarged" if scale > 1 else None,
    )


def load(listing: Listing, item: Item, side: int) -> Image.Image:
    if item.file is not None:
        return decode(item.file.read_bytes(), side)
    assert listing.source is not None
    return Image.fromarray(listing.source.whole(item.part, item.index, side))


def shaded(image: Image.Image) -> Image.Image:
    """The central square at full brightness, the rest dark."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    dark = image.point(lambda level: int(SHADE * level))
    dark.paste(image.crop(box), box)
    return dark
