"""JPEGs decoded by NVIDIA's nvImageCodec, on a GPU where there is one; whatever it cannot decode stays with Pillow."""

from importlib.util import find_spec
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.images.decode_cost.header import Header, draft_scale

PACKAGE = "nvidia.nvimgcodec"
END = b"\xff\xd9"
TAIL = 1024  # bytes in which a whole file ends: of one that was cut, nvJPEG makes an image all the same
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
        if END not in data[-TAIL:]:
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


def takes(header: Header, rule: InputRule) -> bool:
    """Whether it is one for a GPU: a colour JPEG that Pillow too would decode at full size, neither tiny nor huge."""
    is_colour = header.kind == "JPEG" and header.mode == "RGB"
    return is_colour and LEAST < header.pixels <= MOST and draft_scale(header.size, rule) == 1
