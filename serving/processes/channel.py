"""Short messages between two processes, with file descriptors: a socket that keeps each message whole."""

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

MAX_MESSAGE = 65_536  # bytes
MAX_DESCRIPTORS = 4
MAX_AT_ONCE = 64  # messages received in one turn of the event loop
ANCILLARY = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
DESCRIPTORS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)

OnMessage = Callable[[bytes, list[int]], None]


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Channel:
    """One end: what is sent does not block, and `on_message` gets what comes, with its descriptors."""

    def __init__(self, end: socket.socket, on_message: OnMessage, on_end: Callable[[], None]) -> None:
        self.socket, self.on_message, self.on_end = end, on_message, on_end
        self.loop = asyncio.get_running_loop()
        self.unsent: deque[tuple[bytes, list[int]]] = deque()
        self.is_open = True
        end.setblocking(False)
        self.loop.add_reader(end.fileno(), self.receive)

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send, or keep until the other end has room; descriptors are closed here once they are sent."""
        if not self.is_open:
            close_all(descriptors)
        elif self.unsent or not self.try_to_send(message, descriptors):
            if not self.unsent:
                self.loop.add_writer(self.socket.fileno(), self.send_rest)
            self.unsent.append((message, list(descriptors)))

    def try_to_send(self, message: bytes, descriptors: Sequence[int]) -> bool:
        """False where there is no room; a message to an end that has gone is dropped."""
        try:
            if descriptors:
                self.socket.sendmsg([message], [(*DESCRIPTORS, array.array("i", descriptors))])
            else:
                self.socket.send(message)
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
                message, ancillary, _, _ = self.socket.recvmsg(MAX_MESSAGE, ANCILLARY)
            except BlockingIOError:
                return
            except OSError:
                message, ancillary = b"", []
            if not message:
                self.close()
                self.on_end()
                return
            self.on_message(message, received(ancillary) if ancillary else [])
            if not self.is_open:
                return

    def close(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self.loop.remove_reader(self.socket.fileno())
        if self.unsent:
            self.loop.remove_writer(self.socket.fileno())
        for _, descriptors in self.unsent:
            close_all(descriptors)
        self.unsent.clear()
        self.socket.close()


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
