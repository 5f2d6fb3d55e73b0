"""The memory that libwebp holds for the prefix codes of lossless WebP pixels (VP8L, RFC 9649)."""

import struct
from dataclasses import dataclass

from vitrail.images.patches import Sides

FEW_GROUPS = 256  # prefix code groups: their 5 MB are reserved without reading the file
MAX_GROUPS = 65_536
MAX_CACHE_BITS = 11  # of the colour cache

# Counting the groups is limited in steps. One decodes a symbol, mostly, and takes 1 µs; photos take 10 to 8,000.
BASE_STEPS = 500
BYTES_PER_STEP = 16  # of the file, for each further step
MAX_STEPS = 100_000
CHUNK_STEPS = 10  # for each lossless chunk
SYMBOLS_PER_STEP = 32  # of a code's alphabet, used or not
TABLE_ENTRIES_PER_STEP = 128

LITERALS = 256  # values of a colour channel; the green alphabet continues with lengths and colour cache indices
LENGTH_SYMBOLS = 24
DISTANCE_SYMBOLS = 40
LENGTH_CODE_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
REPEAT_CODES = {16: (2, 3), 17: (3, 3), 18: (7, 11)}  # extra bits of the repeat count, and its minimum
COLOUR_INDEXING, SUBTRACT_GREEN = 3, 2  # transforms; all but SUBTRACT_GREEN have an image of their own

PrefixCode = tuple[list[tuple[int, int]], int]  # the next bits, masked, → a symbol and the length of its code; the mask


class OutOfSteps(Exception):
    """The prefix code groups are not counted within the steps that a file of this size may take."""


@dataclass
class BitReader:
    """Reads numbers from a lossless WebP, least significant bit first, for a limited number of steps."""

    data: bytes
    at: int  # in bits
    steps: int

    def read(self, count: int) -> int:
        at, self.at = self.at, self.at + count
        return int.from_bytes(self.data[at >> 3 : (at >> 3) + 4], "little") >> (at & 7) & ((1 << count) - 1)

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise OutOfSteps


def bit_reader(data: bytes) -> BitReader:
    """A reader for all lossless chunks of a file, which share its steps."""
    return BitReader(data, 0, min(MAX_STEPS, BASE_STEPS + len(data) // BYTES_PER_STEP))


def lossless_size(data: bytes, at: int) -> Sides:
    bits = int(struct.unpack_from("<I", data, at + 1)[0])
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def prefix_code_bytes(name: bytes, bits: BitReader, begin: int, size: Sides) -> int:
    """Bytes that libwebp holds for the prefix codes of lossless pixels, or of transparency coded in the same way.

    A file may have a group of codes for every 4×4 pixels: 380 MB for a megapixel in 300 kB. Their number follows the
    transforms, whose images have to be read. Encoders keep those small; for others the largest possible number of
    groups is assumed.
    """
    if name == b"VP8L":
        size, begin = lossless_size(bits.data, begin), begin + 5
    elif bits.data[begin] & 3 == 0:  # not compressed
        return 0
    else:
        begin += 1
    groups, cache_bits = min(MAX_GROUPS, blocks(*size, 2)), MAX_CACHE_BITS
    if groups > FEW_GROUPS:
        bits.at = 8 * begin
        try:
            bits.spend(CHUNK_STEPS)
            groups, cache_bits = count_groups(bits, *size)
        except OutOfSteps:
            pass
    return groups * group_bytes(cache_bits)


def group_bytes(cache_bits: int) -> int:
    """The most that the tables of one group take, with the pointers to them."""
    return 600 + 4 * (2956 + (1 << cache_bits))


def blocks(width: int, height: int, bits: int) -> int:
    return -(-width // (1 << bits)) * -(-height // (1 << bits))


def count_groups(bits: BitReader, width: int, height: int) -> tuple[int, int]:
    """The number of prefix code groups, and the bits of the colour cache."""
    seen: set[int] = set()
    while bits.read(1):
        transform = bits.read(2)
        if transform in seen:
            raise IndexError
        seen.add(transform)
        if transform == COLOUR_INDEXING:
            colours = bits.read(8) + 1
            largest_index(bits, colours)
            width = blocks(width, 1, 0 if colours > 16 else 1 if colours > 4 else 2 if colours > 2 else 3)
        elif transform != SUBTRACT_GREEN:
            largest_index(bits, blocks(width, height, 2 + bits.read(3)))
    cache_bits = read_cache_bits(bits)
    if not bits.read(1):
        return 1, cache_bits
    number = blocks(width, height, 2 + bits.read(3))
    return min(number, largest_index(bits, number) + 1), cache_bits


def read_cache_bits(bits: BitReader) -> int:
    cache_bits = bits.read(4) if bits.read(1) else 0
    if cache_bits > MAX_CACHE_BITS:
        raise IndexError
    return cache_bits


def largest_index(bits: BitReader, pixels: int) -> int:
    """The largest index, 256 × red + green, in an image with one group of codes.

    Copies and cached colours repeat a colour that was a literal before, or black, with which the cache begins; so only
    literals count.
    """
    cache_bits = read_cache_bits(bits)
    green, green_mask = read_code(bits, LITERALS + LENGTH_SYMBOLS + (1 << cache_bits if cache_bits else 0))
    (red, red_mask), (blue, blue_mask), (alpha, alpha_mask) = (read_code(bits, LITERALS) for _ in range(3))
    distance, distance_mask = read_code(bits, DISTANCE_SYMBOLS)
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
        elif symbol < LITERALS + LENGTH_SYMBOLS:
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
    """How many bits follow the symbol of a length or a distance, and the smallest number that it stands for."""
    if symbol < 4:
        return 0, symbol + 1
    extra = (symbol - 2) >> 1
    return extra, ((2 + (symbol & 1)) << extra) + 1


def read_code(bits: BitReader, symbols: int) -> PrefixCode:
    """The prefix code of an alphabet of this size."""
    bits.spend(symbols // SYMBOLS_PER_STEP)
    lengths = [0] * max(symbols, LITERALS)
    if bits.read(1):
        two = bits.read(1)
        lengths[bits.read(8 if bits.read(1) else 1)] = 1
        if two:
            lengths[bits.read(8)] = 1
        return lookup_table(bits, lengths[:symbols])
    code_lengths = [0] * len(LENGTH_CODE_ORDER)
    for symbol in LENGTH_CODE_ORDER[: 4 + bits.read(4)]:
        code_lengths[symbol] = bits.read(3)
    table, mask = lookup_table(bits, code_lengths)
    left = 2 + bits.read(2 + 2 * bits.read(3)) if bits.read(1) else symbols
    at, previous = 0, 8
    while at < symbols and left:
        left -= 1
        bits.spend(1)
        symbol, used = table[bits.read(7) & mask]
        bits.at -= 7 - used
        if symbol in REPEAT_CODES:
            extra, times = REPEAT_CODES[symbol]
            times += bits.read(extra)
        else:
            times = 1
            previous = symbol or previous
        if at + times > symbols:
            raise IndexError
        if symbol <= 16:
            lengths[at : at + times] = [previous if symbol == 16 else symbol] * times
        at += times
    return lookup_table(bits, lengths[:symbols])


def lookup_table(bits: BitReader, lengths: list[int]) -> PrefixCode:
    """The canonical prefix code of these lengths; a single symbol takes no bits."""
    used = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    if not used:
        raise IndexError
    bits.spend(len(used))
    if len(used) == 1:
        return [(used[0][1], 0)], 0
    longest = used[-1][0]
    bits.spend((1 << longest) // TABLE_ENTRIES_PER_STEP)
    if sum(1 << longest - length for length, _ in used) != 1 << longest:
        raise IndexError
    table = [(0, 0)] * (1 << longest)
    code = 0
    for length, symbol in used:
        first = int(f"{code >> longest - length:0{length}b}"[::-1], 2)
        table[first :: 1 << length] = [(symbol, length)] * (1 << longest - length)
        code += 1 << longest - length
    return table, (1 << longest) - 1
