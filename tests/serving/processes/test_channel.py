"""Messages arrive whole and in order, whatever room the other end has, and descriptors with them."""

import asyncio
import os
import socket
import tempfile

from vitrail.serving.processes.channel import Channel, pair


class End:
    """One end that keeps what comes."""

    def __init__(self, end: socket.socket) -> None:
        self.messages: list[bytes] = []
        self.contents: list[bytes] = []
        self.ended = asyncio.Event()
        self.channel = Channel(end, self.take, self.ended.set)

    def take(self, message: bytes, descriptors: list[int]) -> None:
        self.messages.append(message)
        for descriptor in descriptors:
            self.contents.append(os.pread(descriptor, 100, 0))
            os.close(descriptor)


async def until(end: End, count: int) -> None:
    async with asyncio.timeout(10):
        while len(end.messages) < count:
            await asyncio.sleep(0.001)


def test_messages_arrive_whole_and_in_order() -> None:
    """More than the other end has room for while it does not read."""

    async def scenario() -> None:
        ours, theirs = pair()
        sender = End(ours)
        sent = [str(number).encode() * 50 for number in range(5000)]
        for message in sent:
            sender.channel.send(message)
        assert sender.channel.unsent
        receiver = End(theirs)
        await until(receiver, len(sent))
        assert receiver.messages == sent
        receiver.channel.send(b"back")
        await until(sender, 1)
        sender.channel.close()
        await asyncio.wait_for(receiver.ended.wait(), 5)
        assert not receiver.channel.is_open
        receiver.channel.send(b"to nobody")

    asyncio.run(scenario())


def test_descriptors_travel_and_none_is_leaked() -> None:
    async def scenario() -> None:
        before = len(os.listdir("/dev/fd"))
        ours, theirs = pair()
        sender = End(ours)
        for number in range(300):
            with tempfile.TemporaryFile() as file:
                file.write(str(number).encode())
                file.flush()
                sender.channel.send(b"file", [os.dup(file.fileno())])
        receiver = End(theirs)
        await until(receiver, 300)
        assert receiver.contents == [str(number).encode() for number in range(300)]
        sender.channel.close()
        await asyncio.wait_for(receiver.ended.wait(), 5)
        with tempfile.TemporaryFile() as file:
            sender.channel.send(b"file", [os.dup(file.fileno())])  # closed: it is dropped
        assert len(os.listdir("/dev/fd")) == before

    asyncio.run(scenario())


def test_what_waits_is_dropped_with_its_descriptors() -> None:
    async def scenario() -> None:
        before = len(os.listdir("/dev/fd"))
        ours, theirs = pair()
        sender = End(ours)
        with tempfile.TemporaryFile() as file:
            for _ in range(2000):
                sender.channel.send(b"x" * 1000, [os.dup(file.fileno())] if sender.channel.unsent else [])
        assert sender.channel.unsent
        sender.channel.close()
        theirs.close()
        assert len(os.listdir("/dev/fd")) == before

    asyncio.run(scenario())
