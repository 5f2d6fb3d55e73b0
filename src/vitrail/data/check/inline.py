"""An image of a set as an HTML element that holds it."""

from PIL import Image

from vitrail.data.check.listing import Item, Listing
from vitrail.errors import DataError, ImageError
from vitrail.images.decode import decode
from vitrail.plots.inline import inline

SIDE = 120  # of the longer side at most, in pixels
SHADE = 0.35  # of the brightness that a centre crop cuts


def inline_image(listing: Listing, item: Item, side: int = SIDE, crops: bool = False) -> str:
    """The element, or nothing if the image does not decode; with `crops`, what a centre crop cuts is dark."""
    try:
        image = load(listing, item, side)
    except (OSError, ImageError, DataError):
        return ""
    image.thumbnail((side, side))
    return inline(shaded(image) if crops else image, side)


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
