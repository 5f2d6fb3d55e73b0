"""What a caller does wrong costs nobody else: each mistake has its 4xx, and the server goes on."""

import socket
import struct
import zlib

import httpx
import pytest

from vitrail.serving.body import MAX_BODY

URL = "/v1/classify"


@pytest.fixture(autouse=True)
def nothing_is_broken(client):
    """After every refusal the server is ready, and has counted no failure of its own."""
    yield
    assert client.get("/readyz").status_code == 200
    assert 'status="5' not in client.get("/metrics").text.replace('route="/readyz",status="503"', "")


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["type"].endswith(code)
    assert problem["request_id"] == answer.headers["x-request-id"]


def huge_png() -> bytes:
    """A header that announces 20,000 × 20,000 pixels, and hardly a byte of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


NOT_READ = {
    "empty": b"",
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


@pytest.mark.parametrize("data", NOT_READ.values(), ids=NOT_READ.keys())
def test_other_formats(client, data):
    refused(client.post(URL, files={"image": ("photo.png", data, "image/png")}), 415, "unsupported_format")
    refused(client.post(URL, content=data, headers={"content-type": "image/png"}), 415, "unsupported_format")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_truncated_pictures(client, encode, kind):
    whole = encode(kind)
    refused(client.post(URL, files={"image": whole[: len(whole) // 2]}), 422, "corrupt_picture")


def test_too_many_pixels(client):
    refused(client.post(URL, files={"image": huge_png()}), 413, "picture_too_large")


def test_an_announced_body_that_is_too_large_is_refused_unread(server):
    """The answer comes although not a byte of the body was sent."""
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), 10) as wire:
        wire.sendall(f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode())
        answer = b""
        while b"body_too_large" not in answer:
            more = wire.recv(4096)
            assert more, answer
            answer += more
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_stream_that_grows_too_large_is_refused_midway(client):
    def stream():
        for _ in range(3 * MAX_BODY // 1_000_000):
            yield bytes(1_000_000)

    refused(client.post(URL, content=stream(), headers={"content-type": "image/png"}), 413, "body_too_large")


def test_the_largest_body_is_read(client, encode):
    picture = encode("PNG")
    answer = client.post(URL, content=picture + bytes(MAX_BODY - len(picture)))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/vnd.bentoml+pickle",
        "application/x-www-form-urlencoded",
        "video/mp4",
    ],
)
def test_other_content_types(client, encode, content_type):
    answer = client.post(URL, content=encode(), headers={"content-type": content_type})
    refused(answer, 415, "unsupported_media_type")


def test_compressed_bodies(client, encode):
    headers = {"content-type": "image/png", "content-encoding": "gzip"}
    refused(client.post(URL, content=encode(), headers=headers), 415, "unsupported_encoding")


def test_forms_without_a_picture(client, encode):
    refused(client.post(URL, files={"file": encode()}), 422, "unknown_field")
    refused(client.post(URL, files={"image": encode()}, data={"top_k": "3"}), 422, "unknown_field")
    refused(client.post(URL, files={"image": (None, b"text")}), 422, "not_a_file")
    empty = client.post(URL, content=b"--x--\r\n", headers={"content-type": "multipart/form-data; boundary=x"})
    refused(empty, 422, "missing_image")


BOUNDARIES = {"none": "", "empty": "; boundary=", "not there": "; boundary=x", "long": "; boundary=" + "-" * 60_000}


@pytest.mark.parametrize("boundary", BOUNDARIES.values(), ids=BOUNDARIES.keys())
def test_broken_multipart(client, boundary):
    headers = {"content-type": "multipart/form-data" + boundary}
    answer = client.post(URL, content=b"--y\r\nnonsense", headers=headers)
    refused(answer, 400, "bad_multipart")


def test_malformed_bodies_do_not_fill_the_log(server, client):
    client.post(URL, content=b"--x\r\nnonsense", headers={"content-type": "multipart/form-data; boundary=x"})
    assert "[WARNING]" not in server.said()


def test_too_many_parts(client):
    refused(client.post(URL, files=[("image", b"x")] * 1001), 400, "bad_multipart")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\r\nb: c", "nul\0", "x" * 4_000, "日本.png", ""])
def test_file_names_mean_nothing(client, encode, name):
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="' + name.encode().replace(
        b"\r\n", b"%0D%0A"
    )
    body += b'"\r\n\r\n' + encode() + b"\r\n--x--\r\n"
    answer = client.post(URL, content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 200


def test_no_address_is_ever_fetched(client):
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.3)
        address = f"http://127.0.0.1:{trap.getsockname()[1]}/photo.png"
        refused(client.post(URL, files={"image": ("u", address.encode(), "text/plain")}), 415, "unsupported_format")
        refused(client.post(URL, files={"image": (None, address.encode())}), 422, "not_a_file")
        refused(client.post(URL, data={"image": address}), 415, "unsupported_media_type")
        refused(client.post(URL, json={"image": address}), 400, "bad_json")
        with pytest.raises(TimeoutError):
            trap.accept()


def test_other_routes_and_methods(client):
    for path in ["/nope", "/v1/classify/", "/classify", "/healthz", "/v1", "/static_content/x", "/page.css/..%2f"]:
        refused(client.post(path, json={}), 404, "not_found")
    refused(client.get(URL), 405, "method_not_allowed")
    refused(client.delete("/"), 405, "method_not_allowed")


def test_a_caller_who_hangs_up_is_not_a_failure(server):
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), 10) as wire:
        wire.sendall(f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf".encode())


def test_a_scan_adds_no_series(client):
    def series() -> set[str]:
        return {line.rpartition(" ")[0] for line in client.get("/metrics").text.splitlines()}

    client.get("/scan")
    client.get("/metrics")
    before = series()
    for number in range(100):
        client.get(f"/scan/{number}")
    assert series() == before
