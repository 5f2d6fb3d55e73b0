"""Costly images are decoded in separate processes, which do not hold the server's memory or interpreter lock."""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections import deque
from io import FileIO
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

import vitrail
from vitrail.errors import CorruptImage, ImageError
from vitrail.images.canvas import InputRule
from vitrail.images.decode import fit

NICE = 10  # low priority, so that the server's own threads come first
ATTEMPTS = 2  # a process that ends while it decodes may have been killed for a reason other than this image

# Transparent huge pages, where glibc and Linux have them: fewer page faults, half of the time.
LARGE_PAGES = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")

Canvas = NDArray[np.uint8]  # [size, size, 3]


class DecoderProcess:
    """A process that decodes one image at a time, and ends when its standard input is closed."""

    def __init__(self) -> None:
        environment = {LARGE_PAGES[0]: LARGE_PAGES[1], **os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
            cwd=Path(vitrail.__file__).parents[1],  # `-m` imports from there: a Bento does not install vitrail
        )
        self.requests = cast(FileIO, self.process.stdin)
        self.replies = cast(FileIO, self.process.stdout)

    def fit(self, data: bytes, rule: InputRule) -> Canvas:
        """Returns and raises what `images.fit` does; raises EOFError where the process ends."""
        request = {"size": rule.size, "resize": rule.resize, "patch": rule.patch, "bytes": len(data)}
        try:
            write_all(self.requests, json.dumps(request).encode() + b"\n")
            write_all(self.requests, data)
        except BrokenPipeError as error:
            raise EOFError from error
        reply = json.loads(read_line(self.replies))
        body = read_exactly(self.replies, reply["bytes"])
        if (name := reply.get("error")) is not None:
            raise ERRORS[name](body.decode())
        return np.frombuffer(bytearray(body), np.uint8).reshape(reply["shape"])

    def close(self) -> None:
        self.requests.close()
        self.replies.close()

    def exit_code(self) -> int:
        """Wait for the process to end; returns its exit code."""
        self.close()
        return self.process.wait()


class DecoderProcesses:
    """A pool with as many processes as threads decode at once. A process that dies fails only its own image."""

    def __init__(self) -> None:
        self.idle: deque[DecoderProcess] = deque()
        self.closed = False

    def fit(self, data: bytes, rule: InputRule) -> Canvas:
        """Like `images.fit`; called from a thread."""
        exit_code = 0
        for _ in range(ATTEMPTS):
            decoder = self.acquire()
            try:
                canvas = decoder.fit(data, rule)
            except ImageError:
                self.release(decoder)
                raise
            except EOFError:
                exit_code = decoder.exit_code()
            else:
                self.release(decoder)
                return canvas
        raise CorruptImage(f"the image does not decode: its decoder ended with exit code {exit_code}")

    def acquire(self) -> DecoderProcess:
        try:
            return self.idle.pop()
        except IndexError:
            return DecoderProcess()

    def release(self, decoder: DecoderProcess) -> None:
        self.idle.append(decoder)
        if self.closed:
            self.close()

    def close(self) -> None:
        """End the idle processes now, and busy ones when they are released."""
        self.closed = True
        while self.idle:
            self.idle.pop().close()


def error_classes(base: type[ImageError]) -> dict[str, type[ImageError]]:
    """Image errors by class name: the only ones that a process may report."""
    classes = {base.__name__: base}
    for subclass in base.__subclasses__():
        classes |= error_classes(subclass)
    return classes


ERRORS = error_classes(ImageError)


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
    """Handle requests until the input ends: a line of JSON and the bytes that it counts, in both directions."""
    while True:
        try:
            request = json.loads(read_line(requests))
            data = read_exactly(requests, request["bytes"])
        except EOFError:
            return
        reply: dict[str, object] = {}
        try:
            canvas = fit(data, InputRule(request["size"], request["resize"], patch=request["patch"]))
            reply["shape"], body = canvas.shape, canvas.tobytes()
        except ImageError as error:
            reply["error"], body = type(error).__name__, str(error).encode()
        del data
        write_all(replies, json.dumps({**reply, "bytes": len(body)}).encode() + b"\n" + body)


def main() -> None:
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of images that are refused, and of EXIF that is ignored
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal's processes
    os.nice(NICE)
    decode_all(FileIO(0, "rb"), FileIO(1, "wb"))


if __name__ == "__main__":
    main()
