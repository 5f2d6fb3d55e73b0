"""Image formats that vitrail does not read: how they are recognised, and how to convert them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OtherFormat:
    """A format by the endings of its files, and the command that converts those of one folder."""

    name: str
    endings: tuple[str, ...]
    advice: str


MAGICK = "`magick mogrify -format {to} *{ending}` (ImageMagick) in each folder"

OTHER_FORMATS = (
    OtherFormat("HEIC", (".heic", ".heif"), f"{MAGICK.format(to='jpg', ending='.heic')}, or pillow-heif in Python"),
    OtherFormat("AVIF", (".avif", ".avifs"), MAGICK.format(to="jpg", ending=".avif")),
    OtherFormat("TIFF", (".tif", ".tiff"), MAGICK.format(to="png", ending=".tif")),
    OtherFormat("JPEG XL", (".jxl",), MAGICK.format(to="jpg", ending=".jxl")),
    OtherFormat("JPEG 2000", (".jp2", ".j2k", ".jpx"), MAGICK.format(to="png", ending=".jp2")),
    OtherFormat("Netpbm", (".pbm", ".pgm", ".ppm", ".pnm"), MAGICK.format(to="png", ending=".ppm")),
    OtherFormat("TGA", (".tga",), MAGICK.format(to="png", ending=".tga")),
    OtherFormat("Photoshop", (".psd",), "`magick FILE.psd[0] FILE.png` (ImageMagick)"),
    OtherFormat("SVG", (".svg",), "`rsvg-convert FILE.svg -o FILE.png` (librsvg)"),
    OtherFormat(
        "camera raw",
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
        "`darktable-cli FILE FILE.jpg` (darktable)",
    ),
)
BY_ENDING = {ending: one for one in OTHER_FORMATS for ending in one.endings}

# The brand of an ISO media file, which follows its size and `ftyp`.
BRANDS = {"HEIC": (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"), "AVIF": (b"avif", b"avis")}
FIRST_BYTES = {
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "Photoshop": (b"8BPS",),
}


def other_format(data: bytes) -> OtherFormat | None:
    """The format of a file whose name ends like one that is read, by its first bytes."""
    name = next((name for name, starts in FIRST_BYTES.items() if data.startswith(starts)), None)
    if name is None and data[4:8] == b"ftyp":
        name = next((name for name, brands in BRANDS.items() if data[8:12] in brands), None)
    return next((one for one in OTHER_FORMATS if one.name == name), None)
