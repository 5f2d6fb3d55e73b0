"""Short messages between two processes, with file descriptors: a socket that keeps each message whole."""

import array
import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence

MAX_TOGETHER = 32_768  # bytes of messages that travel together
MAX_RECEIVED = 65_536
LENGTH = struct.Struct("<H")
MAX_DESCRIPTORS = 4
MAX_AT_ONCE = 64  # times something is received in one turn of the event loop
ANCILLARY = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
DESCRIPTORS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)

OnMessage = Callable[[bytes, list[int]], None]


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Channel:
    """One end: what is sent does not block, and `on_message` gets what comes, with its descriptors.

    Messages that are sent in one turn of the event loop travel together: each wakes the other process, which costs
    more than the rest of it.
    """

    def __init__(self, end: socket.socket, on_message: OnMessage, on_end: Callable[[], None]) -> None:
        self.socket, self.on_message, self.on_end = end, on_message, on_end
        self.loop = asyncio.get_running_loop()
        self.gathered = bytearray()  # messages of this turn, each after its length
        self.unsent: deque[tuple[bytes, list[int]]] = deque()
        self.is_open = True
        end.setblocking(False)
        self.loop.add_reader(end.fileno(), self.receive)

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send soon; descriptors are closed here once they are sent."""
        if not self.is_open:
            close_all(descriptors)
            return
        if descriptors or len(self.gathered) + len(message) > MAX_TOGETHER:
            self.flush()
        if descriptors:
            self.put(LENGTH.pack(len(message)) + message, descriptors)
            return
        if not self.gathered:
            self.loop.call_soon(self.flush)
        self.gathered += LENGTH.pack(len(message))
        self.gathered += message

    def flush(self) -> None:
        """Send what was gathered."""
        if self.gathered:
            gathered, self.gathered = bytes(self.gathered), bytearray()
            self.put(gathered, ())

    def put(self, data: bytes, descriptors: Sequence[int]) -> None:
        """Send, or keep until the other end has room."""
        if self.unsent or not self.try_to_send(data, descriptors):
            if not self.unsent:
                self.loop.add_writer(self.socket.fileno(), self.send_rest)
            self.unsent.append((data, list(descriptors)))

    def try_to_send(self, data: bytes, descriptors: Sequence[int]) -> bool:
        """False where there is no room; what is for an end that has gone is dropped."""
        try:
            if descriptors:
                self.socket.sendmsg([data], [(*DESCRIPTORS, array.array("i", descriptors))])
            else:
                self.socket.send(data)
        except BlockingIOError:
            return False
        except OSError:  # its end is seen when it is read
            pass
        close_all(descriptors)
        return True

    def send_rest(self) -> None:
        while self.unsent and self.try_to_send(*self.unsent[0]):
            self.unsent.popleft()
        if not self.unsent:
            self.loop.remove_writer(self.socket.fileno())

    def receive(self) -> None:
        for _ in range(MAX_AT_ONCE):
            try:
                data, ancillary, _, _ = self.socket.recvmsg(MAX_RECEIVED, ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                data, ancillary = b"", []
            if not data:
                self.close()
                self.on_end()
                return
            descriptors = received(ancillary) if ancillary else []
            for message in split(data):
                self.on_message(message, descriptors)
            if not self.is_open:
                return

    def close(self) -> None:
        if not self.is_open:
            return
        self.flush()
        self.is_open = False
        self.loop.remove_reader(self.socket.fileno())
        if self.unsent:
            self.loop.remove_writer(self.socket.fileno())
        for _, descriptors in self.unsent:
            close_all(descriptors)
        self.unsent.clear()
        self.socket.close()


def split(data: bytes) -> Iterator[bytes]:
    """The messages that travelled together; one that has descriptors travels alone."""
    place = 0
    while place < len(data):
        (length,) = LENGTH.unpack_from(data, place)
        place += LENGTH.size + length
        yield data[place - length : place]


def received(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors of a message, which are this process's now."""
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == DESCRIPTORS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return list(descriptors)


def close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
