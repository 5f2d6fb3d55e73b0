"""The demo waits for a server whose socket listens before its worker responds."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vitrail.commands.demo import wait_until_ready


@contextmanager
def silent_at_first(listener: socket.socket, silent: int) -> Iterator[None]:
    """Accepts connections; the first `silent` ones get no response, the next one gets 200."""

    def respond() -> None:
        held = [listener.accept()[0] for _ in range(silent)]
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        for each in (*held, connection):
            each.close()

    thread = threading.Thread(target=respond, daemon=True)
    thread.start()
    yield
    thread.join(30)


def test_a_request_without_a_response_is_repeated() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as server:
        try:
            with socket.create_server(("127.0.0.1", 0)) as listener, silent_at_first(listener, 1):
                wait_until_ready(server, f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.terminate()
