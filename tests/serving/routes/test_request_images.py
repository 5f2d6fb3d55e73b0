"""Images in a JSON body: the same responses as for a form; other JSON is refused."""

import json
import socket
from base64 import b64encode
from typing import Any

import httpx
import pytest

from vitrail.serving.http.problems import Problem
from vitrail.serving.routes.request_images import json_images
from vitrail.serving.settings import MAX_IMAGES

from ..conftest import Encode

ROUTES = ["/v1/classify", "/v1/embed"]
JSON = {"content-type": "application/json"}


def body(*encoded: bytes) -> dict[str, Any]:
    return {"images": [{"b64": b64encode(data).decode()} for data in encoded]}


@pytest.mark.parametrize("route", ROUTES)
def test_json_gives_the_same_response_as_a_form(client: httpx.Client, encode: Encode, route: str) -> None:
    sent = [encode(), encode("JPEG", seed=2), b"no image", encode("WEBP", seed=3)]
    form = client.post(route, files=[("image", data) for data in sent])
    response = client.post(route, json=body(*sent))
    assert response.status_code == 200
    assert response.json() == form.json()
    assert response.json()["predictions"][2]["error"]["code"] == "unsupported_format"


def test_json_may_have_as_many_images_as_a_form(client: httpx.Client, encode: Encode) -> None:
    response = client.post("/v1/classify", json=body(*[encode()] * MAX_IMAGES))
    assert len(response.json()["predictions"]) == MAX_IMAGES
    response = client.post("/v1/classify", json=body(*[encode()] * (MAX_IMAGES + 1)))
    assert (response.status_code, response.json()["code"]) == (413, "too_many_images")


def test_other_spellings_of_the_same_json(client: httpx.Client, encode: Encode) -> None:
    text = json.dumps(body(encode()))
    expected = client.post("/v1/classify", content=text, headers=JSON).json()
    spaced = text.replace(":", " :\r\n\t").replace("[", " [ ").replace("}", " } ") + "\n"
    escaped = text.replace("/", "\\/").replace("images", "im\\u0061ges")
    for same in (spaced, escaped):
        assert json.loads(same) == json.loads(text) != same
        response = client.post(
            "/v1/classify", content=same, headers={"content-type": "Application/JSON; charset=utf-8"}
        )
        assert response.json() == expected


def many(members: int) -> str:
    return ",".join(f'"k{number}":0' for number in range(members))


GOOD = '{"b64":"AA=="}'
NOT_THE_SHAPE = {
    "nothing": "",
    "null": "null",
    "a number": "1e400",
    "a text": '"image"',
    "an empty object": "{}",
    "a list": f"[{GOOD}]",
    "another member": '{"image": []}',
    "a member more": f'{{"images":[{GOOD}],"top_k":1}}',
    "images twice": f'{{"images":[{GOOD}],"images":[{GOOD}]}}',
    "images is an object": f'{{"images":{GOOD}}}',
    "images is null": '{"images":null}',
    "images is infinite": '{"images":1e400}',
    "an item is a text": '{"images":["AA=="]}',
    "an item has nothing": '{"images":[{}]}',
    "an item has an address": '{"images":[{"url":"http://127.0.0.1/photo.png"}]}',
    "an item has more": '{"images":[{"b64":"AA==","url":"http://127.0.0.1/photo.png"}]}',
    "b64 twice": '{"images":[{"b64":"AA==","b64":"AA=="}]}',
    "b64 is a number": '{"images":[{"b64":1}]}',
    "b64 is not a number": '{"images":[{"b64":NaN}]}',
    "b64 is true": '{"images":[{"b64":true}]}',
    "b64 is a list": '{"images":[{"b64":["AA=="]}]}',
    "a comma too many": f'{{"images":[{GOOD},]}}',
    "another comma too many": f'{{"images":[{GOOD}],}}',
    "cut short": f'{{"images":[{GOOD}',
    "cut within a string": '{"images":[{"b64":"AA',
    "a broken escape": '{"images":[{"b64":"\\x41"}]}',
    "a bare new line": '{"images":[{"b64":"AA\n=="}]}',
    "more behind it": f'{{"images":[{GOOD}]}}{{}}',
    "a comment": f'{{"images":[{GOOD}]}} // one',
    "depth": "[" * 100_000,
    "depth below images": '{"images":' + "[" * 100_000,
    "depth of objects": '{"images":[{"b64":' * 100_000,
    "a million members": "{" + many(1_000_000) + "}",
    "a million members behind": f'{{"images":[{GOOD}],{many(1_000_000)}}}',
    "a million members in an item": f'{{"images":[{{"b64":"AA==",{many(1_000_000)}}}]}}',
}


@pytest.mark.parametrize("text", NOT_THE_SHAPE.values(), ids=NOT_THE_SHAPE.keys())
def test_other_json_structures(client: httpx.Client, text: str) -> None:
    response = client.post("/v1/classify", content=text, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (400, "bad_json")
    assert '{"images": [{"b64": "…"}]}' in response.json()["detail"]
    assert len(response.content) < 1000


@pytest.mark.parametrize("data", [b"\xff\xfe{", b'\xef\xbb\xbf{"images":[]}', '{"images":[]}'.encode("utf-16")])
def test_json_in_other_encodings(client: httpx.Client, data: bytes) -> None:
    response = client.post("/v1/classify", content=data, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (400, "bad_json")


@pytest.mark.parametrize("text", ["A", "AA", "AA=A", "A-_A", "AAAA\\nAAAA", " AAAA", "é", "\\ud800", "😀"])
def test_bad_base64(client: httpx.Client, text: str) -> None:
    content = f'{{"images":[{GOOD},{{"b64":"{text}"}}]}}'
    response = client.post("/v1/classify", content=content.encode(), headers=JSON)
    assert (response.status_code, response.json()["code"]) == (400, "bad_base64")
    assert "images[1].b64" in response.json()["detail"]


def test_data_url_error_explains_the_fix(client: httpx.Client) -> None:
    response = client.post("/v1/classify", json={"images": [{"b64": "data:image/png;base64,AA=="}]})
    assert (response.status_code, response.json()["code"]) == (400, "bad_base64")
    assert "comma" in response.json()["detail"]


def test_no_image_and_empty_images(client: httpx.Client) -> None:
    none = client.post("/v1/classify", json={"images": []})
    assert (none.status_code, none.json()["code"]) == (422, "missing_image")
    empty = client.post("/v1/classify", json=body(b""))
    assert (empty.status_code, empty.json()["code"]) == (415, "unsupported_format")
    empty = client.post("/v1/classify", json=body(b"", b""))
    assert (empty.status_code, empty.json()["code"]) == (422, "no_good_image")


def test_the_limits_of_a_body_hold_for_json(client: httpx.Client) -> None:
    response = client.post("/v1/classify", content=b'{"images":[' + bytes(20_000_000), headers=JSON)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    response = client.post("/v1/classify", content=b"{}", headers={**JSON, "content-encoding": "gzip"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_encoding")


def test_no_url_is_fetched(client: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.3)
        address = f"http://127.0.0.1:{trap.getsockname()[1]}/photo.png"
        for sent, code in [
            ({"images": [{"b64": address}]}, "bad_base64"),
            ({"images": [{"url": address}]}, "bad_json"),
            ({"images": [address]}, "bad_json"),
        ]:
            assert client.post("/v1/classify", json=sent).json()["code"] == code
        with pytest.raises(TimeoutError):
            trap.accept()


def test_parsing_stops_at_the_first_error() -> None:
    """The rest is never parsed."""
    before = f'{{"images":[{GOOD},{GOOD}'
    for surprise in (",1", ',{"url"', "}", "]]"):
        read = json_images((before + surprise + "[" * 1_000_000).encode())
        assert [next(read), next(read)] == [b"\0", b"\0"]
        with pytest.raises(Problem, match="the body must be JSON") as caught:
            next(read)
        assert len(str(caught.value)) < 300
