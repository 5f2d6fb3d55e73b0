"""Costly images, decoded in a process of their own: the interpreter's lock and the memory of the server stay free."""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections import deque
from io import FileIO
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vitrail.errors import CorruptImage, ImageError
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit

NICE = 10  # added to its priority: it computes while the server has nothing to do
ATTEMPTS = 2  # a process that ends while it decodes may have been killed for another reason than this image

# Large blocks of memory come in large pages where glibc and Linux have them: fewer faults, half of the time.
LARGE_PAGES = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")

Canvas = NDArray[np.uint8]  # [size, size, 3]


class DecoderProcess:
    """A process that decodes one image after the other. It starts with the first, and ends when its input is closed."""

    def __init__(self) -> None:
        environment = {LARGE_PAGES[0]: LARGE_PAGES[1], **os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
        )
        self.requests = cast(FileIO, self.process.stdin)
        self.replies = cast(FileIO, self.process.stdout)

    def fit(self, data: bytes, rule: InputRule) -> Canvas:
        """What `images.fit` returns or raises; EOFError where the process ends instead."""
        request = {"size": rule.size, "resize": rule.resize, "bytes": len(data)}
        try:
            write_all(self.requests, json.dumps(request).encode() + b"\n")
            write_all(self.requests, data)
        except BrokenPipeError as fault:
            raise EOFError from fault
        reply = json.loads(read_line(self.replies))
        body = read_exactly(self.replies, reply["bytes"])
        if (error := reply.get("error")) is not None:
            raise ERRORS[error](body.decode())
        return np.frombuffer(bytearray(body), np.uint8).reshape(rule.size, rule.size, 3)

    def close(self) -> None:
        self.requests.close()
        self.replies.close()

    def exit_code(self) -> int:
        """How it ended, once it has."""
        self.close()
        return self.process.wait()


class DecoderProcesses:
    """As many processes as threads ask at once, kept for the next image. One that dies costs nobody but its image."""

    def __init__(self) -> None:
        self.idle: deque[DecoderProcess] = deque()
        self.closed = False

    def fit(self, data: bytes, rule: InputRule) -> Canvas:
        """As `images.fit`, called from a thread."""
        exit_code = 0
        for _ in range(ATTEMPTS):
            decoder = self.take()
            try:
                canvas = decoder.fit(data, rule)
            except ImageError:
                self.give_back(decoder)
                raise
            except EOFError:
                exit_code = decoder.exit_code()
            else:
                self.give_back(decoder)
                return canvas
        raise CorruptImage(f"the image does not decode: its decoder ended with exit code {exit_code}")

    def take(self) -> DecoderProcess:
        try:
            return self.idle.pop()
        except IndexError:
            return DecoderProcess()

    def give_back(self, decoder: DecoderProcess) -> None:
        self.idle.append(decoder)
        if self.closed:
            self.close()

    def close(self) -> None:
        """Those that decode still end as soon as they are given back."""
        self.closed = True
        while self.idle:
            self.idle.pop().close()


def errors_below(kind: type[ImageError]) -> dict[str, type[ImageError]]:
    """Every error of an image by its name: what a process may report, and nothing else."""
    found = {kind.__name__: kind}
    for below in kind.__subclasses__():
        found |= errors_below(below)
    return found


ERRORS = errors_below(ImageError)


def write_all(stream: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


def read_line(stream: FileIO) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        line += read_exactly(stream, 1)
    return bytes(line)


def read_exactly(stream: FileIO, count: int) -> bytes:
    data = bytearray(count)
    rest = memoryview(data)
    while rest:
        if not (read := stream.readinto(rest)):
            raise EOFError
        rest = rest[read:]
    return bytes(data)


def decode_all(requests: FileIO, replies: FileIO) -> None:
    """Answer requests until there are no more: a line of JSON and the bytes that it counts, in both directions."""
    while True:
        try:
            request = json.loads(read_line(requests))
            data = read_exactly(requests, request["bytes"])
        except EOFError:
            return
        reply: dict[str, object] = {}
        try:
            body = fit(data, InputRule(request["size"], request["resize"])).tobytes()
        except ImageError as fault:
            reply["error"], body = type(fault).__name__, str(fault).encode()
        del data
        write_all(replies, json.dumps({**reply, "bytes": len(body)}).encode() + b"\n" + body)


def main() -> None:
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of images that are refused, and of EXIF that is ignored
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all of a terminal's processes; this one ends with its parent
    os.nice(NICE)
    decode_all(FileIO(0, "rb"), FileIO(1, "wb"))


if __name__ == "__main__":
    main()
