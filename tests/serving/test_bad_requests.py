"""Each client error has its 4xx, and does not affect other requests."""

import re
import socket
import struct
import threading
import zlib
from collections.abc import Iterator

import httpx
import psutil
import pytest

from vitrail.serving.http.body import MAX_BODY

from ..servers import Server
from .conftest import Encode

URL = "/v1/classify"


@pytest.fixture(autouse=True)
def nothing_is_broken(client: httpx.Client) -> Iterator[None]:
    """After every refusal the server is ready and has counted no internal error."""
    yield
    assert client.get("/readyz").status_code == 200
    expected = ('route="/readyz",status="503"', 'route="none",status="501"')
    assert 'status="5' not in re.sub("|".join(expected), "", client.get("/metrics").text)


def refused(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code)
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["type"].endswith(code)
    assert problem["request_id"] == response.headers["x-request-id"]


def png_of(width: int, height: int, rows: bytes = b"\0") -> bytes:
    """A PNG whose header declares this size, with these rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


UNSUPPORTED = {
    "empty": b"",
    "random": bytes(value * 7919 % 251 for value in range(4096)),
    "image after html": b"<html>" + png_of(20_000, 20_000),
    "fits": b"SIMPLE  =                    T" + bytes(2850),
    "tiff, big-endian": b"MM\0*" + bytes(40),
    "avif": b"\0\0\0\x1cftypavif" + bytes(40),
    "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "text": b"hello",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "html": b"<!doctype html><img src=x>",
    "zip": b"PK\x03\x04" + bytes(40),
    "tiff": b"II*\0" + bytes(40),
    "pdf": b"%PDF-1.7\n",
    "psd": b"8BPS\0\1" + bytes(40),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "ico": b"\0\0\1\0\1\0" + bytes(40),
    "heic": b"\0\0\0\x18ftypheic" + bytes(40),
}


@pytest.mark.parametrize("data", UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_unsupported_formats(client: httpx.Client, data: bytes) -> None:
    refused(client.post(URL, files={"image": ("photo.png", data, "image/png")}), 415, "unsupported_format")
    refused(client.post(URL, content=data, headers={"content-type": "image/png"}), 415, "unsupported_format")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_truncated_images(client: httpx.Client, encode: Encode, kind: str) -> None:
    whole = encode(kind)
    refused(client.post(URL, files={"image": whole[: len(whole) // 2]}), 422, "corrupt_image")


def test_html_with_an_image_signature(client: httpx.Client) -> None:
    for start in (b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM"):
        refused(client.post(URL, content=start + b"<script>alert(1)</script>PK\x03\x04"), 422, "corrupt_image")


def worker(server: Server) -> psutil.Process:
    """The worker process, below BentoML's arbiter."""
    return server.family()[-1]


@pytest.mark.parametrize("side", [12_000, pytest.param(20_000, marks=pytest.mark.long)])
def test_too_many_pixels_use_no_memory(server: Server, client: httpx.Client, side: int) -> None:
    """20,000 × 20,000 real pixels, all black, are 1.2 GB in memory and 1.2 MB in the file."""
    bomb = png_of(side, side, bytes(side * (3 * side + 1)))
    assert len(bomb) < MAX_BODY
    before = worker(server).memory_info().rss
    for _ in range(4):
        refused(client.post(URL, files={"image": bomb}), 413, "image_too_large")
        refused(client.post(URL, content=png_of(2**31 - 1, 2**31 - 1)), 413, "image_too_large")
        refused(client.post(URL, content=png_of(50_000_001, 1)), 413, "image_too_large")
        assert client.post(URL, content=png_of(2**31, 2**31)).status_code in (413, 422)
    assert worker(server).memory_info().rss - before < 100e6


def test_too_large_content_length_is_refused_unread(server: Server) -> None:
    """The response comes before any byte of the body is sent."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode())
        response = b""
        while b"body_too_large" not in response:
            more = connection.recv(4096)
            assert more, response
            response += more
    assert response.startswith(b"HTTP/1.1 413 ")


def test_too_large_stream_is_refused_midway(client: httpx.Client) -> None:
    def stream() -> Iterator[bytes]:
        for _ in range(3 * MAX_BODY // 1_000_000):
            yield bytes(1_000_000)

    refused(client.post(URL, content=stream(), headers={"content-type": "image/png"}), 413, "body_too_large")


def test_body_at_the_limit_is_accepted(client: httpx.Client, encode: Encode) -> None:
    image = encode("PNG")
    response = client.post(URL, content=image + bytes(MAX_BODY - len(image)))
    assert response.status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/vnd.bentoml+pickle",
        "application/x-www-form-urlencoded",
        "video/mp4",
    ],
)
def test_other_content_types(client: httpx.Client, encode: Encode, content_type: str) -> None:
    response = client.post(URL, content=encode(), headers={"content-type": content_type})
    refused(response, 415, "unsupported_media_type")


def test_compressed_bodies(client: httpx.Client, encode: Encode) -> None:
    kind = ("content-type", "image/png")
    for codings in (["gzip"], ["identity", "gzip"], ["identity, br"]):
        headers = [kind, *(("content-encoding", coding) for coding in codings)]
        refused(client.post(URL, content=encode(), headers=headers), 415, "unsupported_encoding")
    for codings in (["identity"], ["Identity", ""]):
        headers = [kind, *(("content-encoding", coding) for coding in codings)]
        assert client.post(URL, content=encode(), headers=headers).status_code == 200


def test_forms_without_an_image(client: httpx.Client, encode: Encode) -> None:
    refused(client.post(URL, files={"file": encode()}), 422, "unknown_field")
    refused(client.post(URL, files={"image": encode()}, data={"top_k": "3"}), 422, "unknown_field")
    refused(client.post(URL, files={"image": (None, b"text")}), 422, "not_a_file")
    empty = client.post(URL, content=b"--x--\r\n", headers={"content-type": "multipart/form-data; boundary=x"})
    refused(empty, 422, "missing_image")


BOUNDARIES = {"none": "", "empty": "; boundary=", "not there": "; boundary=x", "long": "; boundary=" + "-" * 60_000}


@pytest.mark.parametrize("boundary", BOUNDARIES.values(), ids=BOUNDARIES.keys())
def test_broken_multipart(client: httpx.Client, boundary: str) -> None:
    headers = {"content-type": "multipart/form-data" + boundary}
    response = client.post(URL, content=b"--y\r\nnonsense", headers=headers)
    refused(response, 400, "bad_multipart")


def test_malformed_bodies_do_not_fill_the_log(server: Server, client: httpx.Client) -> None:
    client.post(URL, content=b"--x\r\nnonsense", headers={"content-type": "multipart/form-data; boundary=x"})
    assert "[WARNING]" not in server.read_log()


DASHES = b"-" * 1_000_000
FORMS = {
    "dashes": DASHES,
    "boundaries that nearly are": (b"\r\n--" + b"x" * 69 + b"y") * 14_000,
    "boundaries without end": (b"--" + b"x" * 70 + b"\r\n") * 14_000,
    "a header without end": b"--" + b"x" * 70 + b"\r\n" + DASHES,
    "headers without end": b"--" + b"x" * 70 + b"\r\n" + b"a: b\r\n" * 160_000,
    "a name of many escapes": b"--" + b"x" * 70 + b'\r\nContent-Disposition: form-data; name="' + b'\\"' * 500_000,
    "many parts": (b"--" + b"x" * 70 + b'\r\nContent-Disposition: form-data; name="image"; filename=""\r\n\r\n\r\n')
    * 8_000,
}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS.keys())
def test_malformed_forms_cost_little(server: Server, client: httpx.Client, body: bytes) -> None:
    """At most a second for a megabyte, in CPU time, which does not depend on other load."""
    before = sum(worker(server).cpu_times()[:2])
    headers = {"content-type": "multipart/form-data; boundary=" + "x" * 70}
    response = client.post(URL, content=body, headers=headers)
    assert response.status_code in (400, 422)
    assert sum(worker(server).cpu_times()[:2]) - before < 1


def test_too_many_parts(client: httpx.Client) -> None:
    refused(client.post(URL, files=[("image", b"x")] * 1001), 400, "bad_multipart")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\r\nb: c", "nul\0", "x" * 65_536, "日本.png", ""])
def test_file_names_are_ignored(client: httpx.Client, encode: Encode, name: str) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="' + name.encode().replace(
        b"\r\n", b"%0D%0A"
    )
    body += b'"\r\n\r\n' + encode() + b"\r\n--x--\r\n"
    response = client.post(URL, content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert response.status_code == 200


@pytest.mark.parametrize("name", [b"x" * 65_536, b"a\r\nb: c", b"a\rb", b';"' * 1_500, b'";' * 30_000, b";" * 65_536])
def test_invalid_file_names_do_not_affect_others(
    server: Server, client: httpx.Client, encode: Encode, name: bytes
) -> None:
    """The time to parse parameters must not be quadratic in their length."""
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="' + name + b'"\r\n\r\n' + encode() + b"\r\n"
    before = sum(worker(server).cpu_times()[:2])
    body = part * 100 + b"--x--\r\n"
    response = client.post(URL, content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert response.status_code in (400, 413, 422)
    assert sum(worker(server).cpu_times()[:2]) - before < 1


def test_no_url_is_ever_fetched(client: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.3)
        address = f"http://127.0.0.1:{trap.getsockname()[1]}/photo.png"
        refused(client.post(URL, files={"image": ("u", address.encode(), "text/plain")}), 415, "unsupported_format")
        refused(client.post(URL, files={"image": (None, address.encode())}), 422, "not_a_file")
        refused(client.post(URL, data={"image": address}), 415, "unsupported_media_type")
        refused(client.post(URL, json={"image": address}), 400, "bad_json")
        with pytest.raises(TimeoutError):
            trap.accept()


def test_other_routes_and_methods(client: httpx.Client) -> None:
    for path in ["/nope", "/v1/classify/", "/classify", "/healthz", "/v1", "/static_content/x", "/page.css/..%2f"]:
        refused(client.post(path, json={}), 404, "not_found")
    refused(client.get(URL), 405, "method_not_allowed")
    refused(client.delete("/"), 405, "method_not_allowed")


def test_disconnect_is_not_an_internal_error(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(f"POST {URL} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf".encode())


@pytest.mark.parametrize("paths", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_path_scan_adds_no_metric_series(server: Server, client: httpx.Client, paths: int) -> None:
    def series() -> set[str]:
        return {line.rpartition(" ")[0] for line in client.get("/metrics").text.splitlines()}

    client.get("/scan")
    client.get("/metrics")
    before = series()
    scan = b"".join(b"GET /scan/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(paths))
    with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
        answered = 0
        sending = threading.Thread(target=connection.sendall, args=(scan,))
        sending.start()
        while answered < paths:
            answered += connection.recv(65536).count(b"x-request-id")
        sending.join()
    assert series() == before
