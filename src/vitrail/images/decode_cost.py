"""What decoding an image costs, in memory and in time, known from its header before anything is decoded."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from vitrail.errors import CorruptImage, ImageTooLarge
from vitrail.images.canvas import InputRule, Sides, inner_sides

# Pillow visits each part of a file's structure in Python: markers, chunks, blocks, entries of metadata. 0.2 to 5 µs for
# each, under the interpreter's lock. A photo has about fifty.
MAX_PARTS = 5_000
LEAST_IDAT = 256  # bytes: PNG pixels come in chunks of 8,192 or so, and shorter ones count as parts too
HARD_PART = 100  # as many parts as a text that grows when it is read
JUNK = 16  # bytes between the markers of a JPEG that count as one part
MOST_JUNK = JUNK * MAX_PARTS
MAX_COMPRESSED = 16  # compressed texts and profiles of a PNG, each of which Pillow lets grow to a megabyte
MAX_EXIF_SEGMENTS = 16  # of a JPEG, 64 kB each; Pillow joins them by copying all that came before
MAX_SCANS = 100  # of a progressive JPEG, which has ten or so; each passes over all pixels, though it has 40 bytes
MAX_SCANNED = 1_000_000_000  # scans × pixels: 20 scans at 50 megapixels
COSTLY_BYTES = 40_000_000  # that are held
COSTLY_PIXELS = 100_000_000  # times scans, of a JPEG
MAX_SCANNED_ARITHMETIC = 100_000_000  # the same, coded arithmetically: a decoder goes on where the data ends
MAX_RUN_LENGTH = 1 << 20  # pixels, and bytes, of a run-length coded BMP, which Pillow decodes in Python

# Bytes held for each pixel while an image becomes a canvas, by format and by Pillow's mode: what the decoder holds, the
# decoded pixels, and their RGB copy. Peak growth of a fresh process's resident memory on 9 megapixels, Pillow 13.0,
# less the terms of `peak`; tests/images/test_decode_cost.py measures it again.
HELD = {
    "1": 5.0,
    "L": 5.0,
    "P": 5.0,
    "I;16": 6.0,
    "RGB": 4.0,  # used as it is, unless it is turned or has a transparent colour
    "RGB+": 8.0,
    "LA": 8.0,
    "RGBA": 8.0,
    "GIF": 5.0,
    "GIF+": 6.0,  # with a disposal, for which Pillow makes a second frame
    "WEBP": 16.0,  # two canvases of libwebp's animation decoder, its answer, and the decoded pixels
}
PIXEL = 4  # bytes of an RGB pixel in Pillow
COEFFICIENT = 2  # bytes for each sample of a JPEG in several scans, which is held as coefficients until the last
JPEG_ROWS = 400  # bytes for each pixel of width: the rows that libjpeg works on
METADATA_COPIES = 4  # of a file's metadata, in the lists and dictionaries of Pillow
WEBP_COPIES = 3  # of a whole WebP file: Pillow's, libwebp's, and one of its metadata
COMPRESSED = 4_400_000  # bytes for each compressed text of a PNG: a megabyte, with four bytes a character
FEW_GROUPS = 256  # of prefix codes in a lossless WebP: 5 MB, reserved without a look at the file
MAX_GROUPS = 65_536
MOST_CACHED = 11  # bits of the colour cache's size
STEPS = 500  # that counting those groups may take: symbols, mostly; 1 µs each. Photos take 10 to 8,000
STEP_BYTES = 16  # of a file, for each step more
MAX_STEPS = 100_000
CHUNK_STEPS = 10  # for each lossless chunk
SYMBOLS_STEP = 32  # symbols of a code, used or not, that are passed over in one step
TABLE_STEP = 128  # entries of a table that are filled in one step
RAW_PROFILE = 20  # times the size of an EXIF block that is written as text: Pillow cuts it into lines
AROUND = 2_500_000  # bytes: blocks that Pillow fills in part, tables, bands

# What a program that decodes them needs no bytes behind, in JPEG: restarts, start and end, and extensions.
BARE = frozenset((0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)))
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xDE}
SOI, EOI, SOS, DQT, APP1, APP13, COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xE1, 0xED, 0xFE
SEQUENTIAL = (0xC0, 0xC1, 0xC9)
PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
ARITHMETIC = range(0xC9, 0xD0)
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]")
NEXT_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # within coded pixels FF is followed by 0, or is a restart

PNG_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
BMP_MODES = {1: "P", 4: "P", 8: "P", 16: "RGB", 24: "RGB", 32: "RGB"}
LITERALS = 256  # values of a colour channel; symbols from there on are lengths, and then places in the colour cache
LENGTHS = 24
DISTANCES = 40
LENGTH_CODE_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
REPEATED = {16: (2, 3), 17: (3, 3), 18: (7, 11)}  # code lengths: bits that say how often, and the least
COLOUR_INDEXING, SUBTRACT_GREEN = 3, 2  # transforms; the other two have an image of their own, as indexing has

COMPRESSED_CHUNKS = (b"iCCP", b"zTXt", b"iTXt")
TEXTS = (b"tEXt", b"zTXt", b"iTXt")


@dataclass(frozen=True)
class Jpeg:
    """How a JPEG is coded, as far as memory is concerned."""

    layers: int
    samples: float  # for each pixel, over all layers
    scans: int
    buffered: bool  # as coefficients, until the last scan is read
    scalable: bool


@dataclass(frozen=True)
class Header:
    """The size of an image as it is stored, and what the rest of its header says of the cost."""

    kind: str
    size: Sides
    mode: str  # a key of HELD, or Pillow's for a JPEG
    parts: int = 0  # that Pillow visits one by one
    metadata: int = 0  # bytes that are held beside the pixels
    may_turn: bool = False  # metadata may say which way is up
    jpeg: Jpeg | None = None

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    def is_costly(self, rule: InputRule) -> bool:
        """Whether it may take more than a tenth of a second: a photo of a telephone, as JPEG, does not."""
        scanned = self.pixels * (self.jpeg.scans if self.jpeg is not None else 1)
        return self.peak(rule) > COSTLY_BYTES or scanned > COSTLY_PIXELS

    def peak(self, rule: InputRule) -> int:
        """Bytes that are held at most while the image becomes a canvas of this rule."""
        width, height = self.size
        pixels, held = self.pixels, 0.0
        if self.jpeg is not None:
            held += JPEG_ROWS * width
            held += COEFFICIENT * self.jpeg.samples * pixels if self.jpeg.buffered else 0
            scale = draft_scale(self.size, rule) if self.jpeg.scalable else 1
            width, height = ceil(width / scale), ceil(height / scale)
            pixels = width * height
        held += pixels * HELD[f"{self.mode}+" if self.mode == "RGB" and self.may_turn else self.mode]
        if rule.resize == "crop" and width != height:
            held += PIXEL * min(width, height) ** 2
        narrowed = PIXEL * rule.size * max(width, height)
        return int(held + narrowed + 8 * rule.size**2 + self.metadata + AROUND)


def draft_scale(size: Sides, rule: InputRule) -> int:
    """How much smaller Pillow's draft mode decodes a JPEG for this rule."""
    across, down = inner_sides(size, rule)
    least = min(size[0] // (2 * across), size[1] // (2 * down))
    return next((scale for scale in (8, 4, 2) if least >= scale), 1)


def read_header(kind: str, data: bytes) -> Header:
    """The header of an image of this format; refused where decoding would visit too many parts, or too often."""
    try:
        header = READERS[kind](data)
    except (struct.error, IndexError) as fault:
        raise CorruptImage(f"the {kind} image is damaged and does not decode") from fault
    if header.parts > MAX_PARTS:
        raise too_many_parts(kind)
    return header


def too_many_parts(kind: str) -> ImageTooLarge:
    return ImageTooLarge(f"the {kind} image has more than {MAX_PARTS:,} parts beside its pixels")


def read_jpeg(data: bytes) -> Header:
    """Every marker up to the first scan, as Pillow visits them; then, where there may be more, all scans."""
    at, parts, skipped = 2, 0, 0
    frame, start = 0, 0
    exif: list[bytes] = []
    turning = False
    while True:
        found = NEXT_MARKER.search(data, at, at + MOST_JUNK)
        if found is None:
            raise too_many_parts("JPEG") if at + MOST_JUNK < len(data) else IndexError
        skipped += found.start() - at
        parts += 1
        code, at = data[found.start() + 1], found.end()
        if parts + skipped // JUNK > MAX_PARTS:
            raise too_many_parts("JPEG")
        if code in BARE:
            continue
        length = u16(data, at)
        if code == SOS:
            break
        if code in FRAMES:
            frame, start = code, at
        elif code == DQT:
            parts += length // 65
        elif code == APP13:
            parts += data.count(b"8BIM", at, at + length)
        elif code == APP1:
            turning = True
            if data.startswith(b"Exif\0\0", at + 2):
                exif.append(data[at + 8 : at + length])
        at += length
    if len(exif) > MAX_EXIF_SEGMENTS:
        raise too_many_parts("JPEG")
    parts += exif_entries(b"".join(exif))
    if not start:
        raise IndexError
    height, width, layers = struct.unpack_from(">HHB", data, start + 3)
    factors = [divmod(data[start + 9 + 3 * layer], 16) for layer in range(layers)]
    largest = max(h for h, _ in factors) * max(v for _, v in factors)
    scans = 1
    several = frame not in SEQUENTIAL or data[at + 2] < layers
    if several:
        most = MAX_SCANS if frame in PROGRESSIVE else layers  # each layer stands in one scan of those
        scanned = MAX_SCANNED_ARITHMETIC if frame in ARITHMETIC else MAX_SCANNED
        scans = count_scans(data, at, parts, most, scanned, width * height)
    return Header(
        "JPEG",
        (width, height),
        {1: "L", 3: "RGB"}.get(layers, "RGBA"),
        parts,
        METADATA_COPIES * at,
        turning,
        Jpeg(layers, sum(h * v for h, v in factors) / max(1, largest), scans, several, frame not in LOSSLESS),
    )


def count_scans(data: bytes, at: int, parts: int, most: int, most_scanned: int, pixels: int) -> int:
    """How many scans a JPEG has; refused where they pass over its pixels too often, or too much stands between them."""
    scans = 1
    at += u16(data, at)
    while (found := NEXT_AFTER_SCAN.search(data, at)) is not None:
        code, at = data[found.start() + 1], found.end()
        if code in (SOI, EOI):
            return scans
        parts += 1
        scans += code == SOS
        if scans > most:
            raise ImageTooLarge(f"the JPEG image is drawn in more than {most} scans")
        if scans * pixels > most_scanned:
            raise ImageTooLarge(f"the JPEG image's scans draw more than {most_scanned:,} pixels in all")
        if parts > MAX_PARTS:
            raise too_many_parts("JPEG")
        if at + 2 > len(data):
            return scans
        at += u16(data, at)
    return scans


def exif_entries(block: bytes) -> int:
    """How many entries Pillow visits to find which way is up."""
    tiff = block.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    if len(tiff) < 8:
        return 0
    order = "<" if tiff.startswith(b"II") else ">"
    place = int(struct.unpack_from(f"{order}I", tiff, 4)[0])
    if place + 2 > len(tiff):
        return 0
    entries = int(struct.unpack_from(f"{order}H", tiff, place)[0])
    return min(entries, (len(tiff) - place) // 12)


def read_png(data: bytes) -> Header:
    """Every chunk, to the end of the first frame."""
    width, height, depth, colours = struct.unpack_from(">IIBB", data, 16)
    mode = PNG_MODES.get(colours, "RGBA")
    if depth == 16 and colours == 0:
        mode = "I;16"
    at, parts, compressed, metadata, drawn, animated, turning = 8, 0, 0, 0, False, False, False
    while at + 8 <= len(data):
        length, name = u32(data, at), data[at + 4 : at + 8]
        begin, at = at + 8, at + 12 + length
        if name == b"IDAT":
            drawn = True
            parts += length < LEAST_IDAT
        else:
            parts += 1
            metadata += METADATA_COPIES * length
        if name == b"IEND" or (name == b"fcTL" and drawn and animated):
            break
        animated = animated or name == b"acTL"
        if name == b"tRNS" and mode == "RGB":
            mode = "RGB+"
        elif name == b"eXIf":
            turning = True
            parts += exif_entries(data[begin : begin + length])
        elif name in TEXTS:
            turning = True
            if data.startswith(b"Raw profile type exif", begin):
                parts += HARD_PART
                metadata += RAW_PROFILE * (length if name == b"tEXt" else 1_000_000)
        if name in COMPRESSED_CHUNKS:
            compressed += 1
            parts += HARD_PART
            metadata += COMPRESSED
            if compressed > MAX_COMPRESSED:
                raise ImageTooLarge(f"the PNG image has more than {MAX_COMPRESSED} compressed texts")
        if parts > MAX_PARTS:
            raise too_many_parts("PNG")
    return Header("PNG", (width, height), mode, parts, metadata, turning)


def read_gif(data: bytes) -> Header:
    """Every block up to the first frame, which may be larger than the screen."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + palette_bytes(flags)
    parts, disposed = 0, False
    while (mark := data[at]) != 0x2C:
        parts += 1
        at += 1
        if mark == 0x21:
            at += 1
            if data[at - 1] == 0xF9 and data[at]:
                disposed = bool(data[at + 1] & 0b11000)
            while length := data[at]:
                at += 1 + length
                parts += 1
                if parts > MAX_PARTS:
                    raise too_many_parts("GIF")
            at += 1
        elif mark == 0x3B:
            raise IndexError
        if parts > MAX_PARTS:
            raise too_many_parts("GIF")
    left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
    size = max(width, left + across), max(height, top + down)
    return Header("GIF", size, "GIF+" if disposed else "GIF", parts, METADATA_COPIES * at)


def palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def read_webp(data: bytes) -> Header:
    """The canvas, how many chunks there are, and what the prefix codes of lossless pixels take.

    libwebp keeps a note of each chunk, whichever frame is wanted, and decodes the first frame.
    """
    first = data[12:16]
    if first == b"VP8X":
        width, height = u24(data, 24) + 1, u24(data, 27) + 1
    elif first == b"VP8L":
        width, height = lossless_size(data, 20)
    else:
        width, height = u14(data, 26), u14(data, 28)
    bits = Bits(data, 0, min(MAX_STEPS, STEPS + len(data) // STEP_BYTES))
    at, parts, codes, frame = 12, 0, 0, (width, height)
    framed = False
    while at + 8 <= len(data):
        name, begin, length = data[at : at + 4], at + 8, int(struct.unpack_from("<I", data, at + 4)[0])
        if name == b"EXIF":
            parts += exif_entries(data[begin : begin + length])
        elif name in (b"VP8L", b"ALPH"):
            codes = max(codes, prefix_codes(name, bits, begin, frame))
        at = begin + length + length % 2
        if name == b"ANMF" and not framed:
            framed, at = True, begin + 16  # the chunks within it follow
            frame = u24(data, begin + 6) + 1, u24(data, begin + 9) + 1
        parts += 1
        if parts > MAX_PARTS:
            raise too_many_parts("WEBP")
    return Header("WEBP", (width, height), "WEBP", parts, WEBP_COPIES * len(data) + codes)


def lossless_size(data: bytes, at: int) -> Sides:
    bits = int(struct.unpack_from("<I", data, at + 1)[0])
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


@dataclass
class Bits:
    """Reads numbers from a lossless WebP, least significant bit first, for a limited number of steps."""

    data: bytes
    at: int  # in bits
    steps: int

    def take(self, count: int) -> int:
        at, self.at = self.at, self.at + count
        return int.from_bytes(self.data[at >> 3 : (at >> 3) + 4], "little") >> (at & 7) & ((1 << count) - 1)

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise OutOfSteps


class OutOfSteps(Exception):
    """The groups of prefix codes are not known within the steps that a file of this size may take."""


def prefix_codes(name: bytes, bits: Bits, begin: int, size: Sides) -> int:
    """Bytes that libwebp holds for the prefix codes of lossless pixels, or of a transparency coded like them.

    There may be one group of codes for each 4×4 pixels: 380 MB for a megapixel in 300 kB. How many there are stands
    behind the transforms, whose images have to be read; encoders make them small. Where they are not, as many groups
    are assumed as there may be.
    """
    if name == b"VP8L":
        size, begin = lossless_size(bits.data, begin), begin + 5
    elif bits.data[begin] & 3 == 0:  # not compressed
        return 0
    else:
        begin += 1
    groups, cached = min(MAX_GROUPS, blocks(*size, 2)), MOST_CACHED
    if groups > FEW_GROUPS:
        bits.at = 8 * begin
        try:
            bits.spend(CHUNK_STEPS)
            groups, cached = count_groups(bits, *size)
        except OutOfSteps:
            pass
    return groups * group_bytes(cached)


def group_bytes(cached: int) -> int:
    """What the tables of one group take at most, and what points to them."""
    return 600 + 4 * (2956 + (1 << cached))


def blocks(width: int, height: int, bits: int) -> int:
    return -(-width // (1 << bits)) * -(-height // (1 << bits))


def count_groups(bits: Bits, width: int, height: int) -> tuple[int, int]:
    """How many groups of prefix codes the pixels have, and the bits of their colour cache."""
    seen: set[int] = set()
    while bits.take(1):
        transform = bits.take(2)
        if transform in seen:
            raise IndexError
        seen.add(transform)
        if transform == COLOUR_INDEXING:
            colours = bits.take(8) + 1
            largest_index(bits, colours)
            width = blocks(width, 1, 0 if colours > 16 else 1 if colours > 4 else 2 if colours > 2 else 3)
        elif transform != SUBTRACT_GREEN:
            largest_index(bits, blocks(width, height, 2 + bits.take(3)))
    cached = cache_bits(bits)
    if not bits.take(1):
        return 1, cached
    number = blocks(width, height, 2 + bits.take(3))
    return min(number, largest_index(bits, number) + 1), cached


def cache_bits(bits: Bits) -> int:
    cached = bits.take(4) if bits.take(1) else 0
    if cached > MOST_CACHED:
        raise IndexError
    return cached


def largest_index(bits: Bits, pixels: int) -> int:
    """The largest red and green in an image that has one group of codes; as an index, 256 × red + green.

    Every colour stands there once in full, but for black, with which the cache begins; so nothing has to be copied.
    """
    cached = cache_bits(bits)
    green, green_mask = prefix_code(bits, LITERALS + LENGTHS + (1 << cached if cached else 0))
    (red, red_mask), (blue, blue_mask), (alpha, alpha_mask) = (prefix_code(bits, LITERALS) for _ in range(3))
    distance, distance_mask = prefix_code(bits, DISTANCES)
    data, at, largest, done, steps = bits.data, bits.at, 0, 0, bits.steps
    if not (green_mask | red_mask | blue_mask | alpha_mask) and green[0][0] < LITERALS:
        return red[0][0] << 8 | green[0][0]
    while done < pixels and steps >= 0:
        steps -= 1
        window = int.from_bytes(data[at >> 3 : (at >> 3) + 9], "little") >> (at & 7)
        symbol, used = green[window & green_mask]
        if symbol < LITERALS:
            high, length = red[window >> used & red_mask]
            used += length
            used += blue[window >> used & blue_mask][1]
            used += alpha[window >> used & alpha_mask][1]
            index = high << 8 | symbol
            if index > largest:
                largest = index
            done += 1
        elif symbol < LITERALS + LENGTHS:
            extra, least = extra_bits(symbol - LITERALS)
            done += least + (window >> used & (1 << extra) - 1)
            used += extra
            symbol, length = distance[window >> used & distance_mask]
            used += length + extra_bits(symbol)[0]
        else:
            done += 1
        at += used
    bits.at, bits.steps = at, steps
    bits.spend(0)
    return largest


def extra_bits(symbol: int) -> tuple[int, int]:
    """How many bits follow the symbol of a length or a distance, and the least number that it means."""
    if symbol < 4:
        return 0, symbol + 1
    extra = (symbol - 2) >> 1
    return extra, ((2 + (symbol & 1)) << extra) + 1


def prefix_code(bits: Bits, symbols: int) -> tuple[list[tuple[int, int]], int]:
    """The next bits, masked, → a symbol and the length of its code; and the mask."""
    bits.spend(symbols // SYMBOLS_STEP)
    lengths = [0] * max(symbols, LITERALS)
    if bits.take(1):
        two = bits.take(1)
        lengths[bits.take(8 if bits.take(1) else 1)] = 1
        if two:
            lengths[bits.take(8)] = 1
        return code_table(bits, lengths[:symbols])
    of_lengths = [0] * len(LENGTH_CODE_ORDER)
    for symbol in LENGTH_CODE_ORDER[: 4 + bits.take(4)]:
        of_lengths[symbol] = bits.take(3)
    table, mask = code_table(bits, of_lengths)
    left = 2 + bits.take(2 + 2 * bits.take(3)) if bits.take(1) else symbols
    at, before = 0, 8
    while at < symbols and left:
        left -= 1
        bits.spend(1)
        symbol, used = table[bits.take(7) & mask]
        bits.at -= 7 - used
        if symbol in REPEATED:
            extra, times = REPEATED[symbol]
            times += bits.take(extra)
        else:
            times = 1
            before = symbol or before
        if at + times > symbols:
            raise IndexError
        if symbol <= 16:
            lengths[at : at + times] = [before if symbol == 16 else symbol] * times
        at += times
    return code_table(bits, lengths[:symbols])


def code_table(bits: Bits, lengths: list[int]) -> tuple[list[tuple[int, int]], int]:
    """The canonical prefix code of these lengths; a single symbol takes no bits."""
    used = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    if not used:
        raise IndexError
    bits.spend(len(used))
    if len(used) == 1:
        return [(used[0][1], 0)], 0
    longest = used[-1][0]
    bits.spend((1 << longest) // TABLE_STEP)
    if sum(1 << longest - length for length, _ in used) != 1 << longest:
        raise IndexError
    table = [(0, 0)] * (1 << longest)
    code = 0
    for length, symbol in used:
        first = int(f"{code >> longest - length:0{length}b}"[::-1], 2)
        table[first :: 1 << length] = [(symbol, length)] * (1 << longest - length)
        code += 1 << longest - length
    return table, (1 << longest) - 1


def read_bmp(data: bytes) -> Header:
    """The size, the depth, and whether it is run-length coded."""
    (length,) = struct.unpack_from("<I", data, 14)
    compression, colours = 0, 0
    if length == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, depth, compression, _, _, _, colours = struct.unpack_from("<IIHHIIIII", data, 18)
        if height >> 24 == 0xFF:  # drawn from the top
            height = 2**32 - height
    if compression in (1, 2) and max(width * height, len(data)) > MAX_RUN_LENGTH:
        raise ImageTooLarge(
            f"the BMP image is run-length coded; at most {MAX_RUN_LENGTH:,} pixels and bytes of those are decoded"
        )
    mode = "RGBA" if depth == 32 and compression == 3 else BMP_MODES.get(depth, "RGBA")
    return Header("BMP", (width, height), mode, colours if depth <= 8 else 0)


def u16(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">H", data, at)[0])


def u14(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", data, at)[0]) & 0x3FFF


def u24(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8 | data[at + 2] << 16


def u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">I", data, at)[0])


READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "GIF": read_gif,
    "WEBP": read_webp,
    "BMP": read_bmp,
}
