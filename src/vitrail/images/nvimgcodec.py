"""JPEGs decoded by NVIDIA's nvImageCodec, on a GPU where there is one; whatever it cannot decode stays with Pillow."""

import re
import struct
from importlib.util import find_spec
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.images.decode_cost.header import Header, draft_scale

PACKAGE = "nvidia.nvimgcodec"
SEGMENT = struct.Struct(">BBH")  # of a JPEG before its pixels: 255, what it is, and its length from there
START, END, INTERVAL = 0xDA, 0xD9, 0xDD  # of the pixels, of the image; and the segment that allows restarts
MARKER = re.compile(rb"\xff([^\x00])")  # in coded pixels, where 255 is followed by 0
MARKER_OR_RESTART = re.compile(rb"\xff([^\x00\xd0-\xd7])")
LEAST = 128 * 128  # pixels: smaller ones are decoded before a GPU has begun
MOST = 4_000_000  # pixels: the memory that is reserved for Pillow's decoder holds a copy of these
FANCY = ":fancy_upsampling=1"  # of the chroma, as libjpeg does


def is_installed() -> bool:
    try:
        return find_spec(PACKAGE) is not None
    except ModuleNotFoundError:  # of its parent
        return False


class NvImageCodec:
    """Decodes JPEGs in any number of threads."""

    def __init__(self, *, on_cpu: bool = False) -> None:
        """`on_cpu`: by its own libjpeg-turbo, without CUDA."""
        if not is_installed():
            raise UsageError("nvImageCodec is not installed: pip install 'vitrail[nvimgcodec]'")
        self.on_cpu = on_cpu
        self.of_thread = local()

    def decode(self, data: bytes) -> NDArray[np.uint8] | None:
        """RGB as it is stored, not turned; None where it does not decode, or not as a whole."""
        if not is_whole(data):
            return None
        decoder, unturned = self.decoder()
        image = decoder.decode(data, params=unturned)
        if image is None:
            return None
        pixels = np.asarray(image.cpu())
        return pixels if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 else None

    def decoder(self) -> tuple[Any, Any]:
        """Of this thread, with its parameters."""
        if not hasattr(self.of_thread, "decoder"):
            from nvidia import nvimgcodec

            where: dict[str, Any] = {"device_id": nvimgcodec.NVIMGCODEC_DEVICE_CURRENT}
            if self.on_cpu:
                backends = [nvimgcodec.Backend(nvimgcodec.BackendKind.CPU_ONLY)]
                where = {"device_id": nvimgcodec.NVIMGCODEC_DEVICE_CPU_ONLY, "backends": backends}
            decoder = nvimgcodec.Decoder(max_num_cpu_threads=1, options=FANCY, **where)
            self.of_thread.decoder = decoder, nvimgcodec.DecodeParams(apply_exif_orientation=False)
        made: tuple[Any, Any] = self.of_thread.decoder
        return made


def is_whole(data: bytes) -> bool:
    """Whether nothing but its end interrupts the pixels of a JPEG with one scan: of a cut or damaged one a decoder may
    make an image all the same, where Pillow refuses it.
    """
    place, marker = 2, MARKER
    while place + SEGMENT.size <= len(data):
        first, kind, length = SEGMENT.unpack_from(data, place)
        if first != 0xFF:
            return False
        place += 2 + length
        if kind == INTERVAL:
            marker = MARKER_OR_RESTART
        if kind == START:
            found = marker.search(data, place)
            return found is not None and found[1][0] == END
    return False


def takes(header: Header, rule: InputRule) -> bool:
    """Whether it is one for a GPU: a colour JPEG of one scan that Pillow too would decode at full size, neither tiny
    nor huge.
    """
    is_colour = header.jpeg is not None and not header.jpeg.buffered and header.mode == "RGB"
    return is_colour and LEAST < header.pixels <= MOST and draft_scale(header.size, rule) == 1
