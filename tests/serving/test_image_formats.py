"""Every image format through a real socket gives the prediction of a plain PNG of what it shows."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitrail.images.golden import mosaic

URL = "/v1/classify?top_k=10"
GREY = Image.fromarray(mosaic(4, 3, 60, 80)).convert("L")
COLOUR = Image.fromarray(mosaic(4, 3, 60, 80))
FRAMES: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (80, 60), "red")]}


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def clear() -> Image.Image:
    """Half of it transparent, over an invisible colour."""
    image = COLOUR.convert("RGBA")
    image.paste((1, 2, 3, 0), (0, 0, 40, 60))
    return image


def on_white() -> Image.Image:
    image = COLOUR.copy()
    image.paste("white", (0, 0, 40, 60))
    return image


def palette() -> Image.Image:
    """Two colours, the first of them transparent."""
    image = COLOUR.quantize(2)
    colours = image.getpalette()
    assert colours is not None
    image.putpalette([0, 0, 0, *colours[3:6]])
    return image


def palette_on_white() -> Image.Image:
    seen = np.array(palette().convert("RGB"))
    seen[np.asarray(palette()) == 0] = 255
    return Image.fromarray(seen)


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)


KINDS = {
    "grey": (encoded(GREY), GREY),
    "grey JPEG": (encoded(GREY, "JPEG", quality=95), GREY),
    "one bit": (encoded(GREY.convert("1")), GREY.convert("1")),
    "16 bits": (encoded(sixteen_bits()), GREY),
    "grey and alpha": (encoded(clear().convert("LA")), on_white().convert("L")),
    "alpha": (encoded(clear()), on_white()),
    "palette": (encoded(COLOUR.quantize(8)), COLOUR.quantize(8)),
    "palette and a clear colour": (encoded(palette(), transparency=0), palette_on_white()),
    "CMYK": (encoded(COLOUR.convert("CMYK"), "JPEG", quality=95), COLOUR),
    "progressive": (encoded(COLOUR, "JPEG", quality=95, progressive=True), COLOUR),
    "WebP": (encoded(COLOUR, "WEBP", lossless=True), COLOUR),
    "BMP": (encoded(COLOUR, "BMP"), COLOUR),
    "animated GIF": (encoded(COLOUR.quantize(64), "GIF", **FRAMES), COLOUR.quantize(64)),
    "animated WebP": (encoded(COLOUR, "WEBP", lossless=True, **FRAMES), COLOUR),
    "APNG": (encoded(COLOUR, "PNG", **FRAMES), COLOUR),
}


def shares(client: httpx.Client, data: bytes) -> NDArray[np.float64]:
    """The probability of each class, in the order of the classes."""
    response = client.post(URL, content=data)
    assert response.status_code == 200
    labels = sorted(response.json()["predictions"][0]["labels"], key=lambda label: label["index"])
    return np.array([label["probability"] for label in labels])


@pytest.mark.parametrize(("sent", "seen"), KINDS.values(), ids=KINDS.keys())
def test_all_image_formats_are_decoded_correctly(client: httpx.Client, sent: bytes, seen: Image.Image) -> None:
    assert np.abs(shares(client, sent) - shares(client, encoded(seen.convert("RGB")))).max() < 0.03


OTHERWISE = {
    "in grey": (COLOUR, GREY),
    "without its transparency": (on_white(), clear()),
    "the second frame": (COLOUR, FRAMES["append_images"][0]),
    "the colours of its palette": (palette_on_white(), palette()),
}


@pytest.mark.parametrize(("seen", "missed"), OTHERWISE.values(), ids=OTHERWISE.keys())
def test_wrong_decoding_would_change_the_prediction(
    client: httpx.Client, seen: Image.Image, missed: Image.Image
) -> None:
    apart = [shares(client, encoded(image.convert("RGB"))) for image in (seen, missed)]
    assert np.abs(apart[0] - apart[1]).max() > 0.1
