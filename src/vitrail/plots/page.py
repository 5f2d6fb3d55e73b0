"""A page to draw on: headings, captions and images in one style."""

from unicodedata import combining, normalize

from PIL import Image, ImageDraw, ImageFont

PAPER = (250, 249, 246)
INK = (24, 26, 32)
MUTED = (104, 108, 118)
LIGHT = (255, 255, 255)
FAINT = (222, 221, 216)

BOLD = 20  # sides from which an outline is drawn with a broad pen
MARGIN, GAP = 32, 24  # around everything, and between things
TITLE, HEADING, CAPTION = 26, 18, 15  # sizes of letters, in pixels
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Page:
    """Paper of a given size; places are pixels from its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), PAPER)
        self.pen = ImageDraw.Draw(self.image)

    @property
    def width(self) -> int:
        return self.image.width

    def write(
        self,
        place: tuple[float, float],
        text: str,
        size: int = CAPTION,
        colour: tuple[int, int, int] = INK,
        anchor: str = "la",
        width: float | None = None,
    ) -> None:
        """One line, `anchor` as Pillow has it; with a `width`, what does not fit is cut off."""
        font = letters(size)
        text = printable(text)
        self.pen.text(place, text if width is None else cut(text, font, width), colour, font, anchor)

    def dot(self, middle: tuple[float, float], radius: int, colour: tuple[int, int, int]) -> None:
        """A filled circle with a smooth edge, which Pillow alone does not draw."""
        side, fine = 2 * radius + 1, 8
        mask = Image.new("L", (side * fine, side * fine))
        ImageDraw.Draw(mask).ellipse((0, 0, side * fine - 1, side * fine - 1), 255)
        corner = round(middle[0]) - radius, round(middle[1]) - radius
        self.image.paste(colour, corner, mask.resize((side, side), Image.Resampling.BOX))

    def outline(self, corner: tuple[float, float], side: float) -> None:
        """The edge of a square, visible on dark and on light."""
        left, top = corner
        pen = 2 if side >= BOLD else 1
        for colour, inwards in ((LIGHT, 0), (INK, pen)):
            box = (left + inwards, top + inwards, left + side - 1 - inwards, top + side - 1 - inwards)
            self.pen.rectangle(box, outline=colour, width=pen)

    def put(self, place: tuple[int, int], image: Image.Image) -> None:
        self.image.paste(image, place)


def letters(size: int) -> Font:
    """Pillow's own, so that a drawing looks the same on every machine."""
    return ImageFont.load_default(size)


def printable(text: str) -> str:
    """The text in letters that Pillow's own font has: accents dropped, ? for what has no such letter."""
    bare = (letter for letter in normalize("NFKD", text) if not combining(letter))
    return "".join(letter if letter.isascii() or letter == "·" else "?" for letter in bare)


def cut(text: str, font: Font, width: float) -> str:
    """As much of the text as fits into `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"
