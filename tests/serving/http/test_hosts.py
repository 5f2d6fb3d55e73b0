"""Allowed names in Host, and cross-site requests of browsers."""

from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from vitrail.serving.http.hosts import Hosts, hosts_for, is_cross_site

from ...servers import Start
from ..conftest import Encode

HERE = ["localhost", "localhost:3000", "LOCALHOST", "a.localhost", "127.0.0.1:3000", "127.8.9.1", "[::1]:3000", "[::1]"]
ELSEWHERE = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0", "[::2]"]
NO_NAMES = ["", "a b", "a,b", "user@localhost", "localhost:port", "localhost:3000:3000", "::1", "localhost/"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:3000", "http://127.0.0.9:80", "https://127.0.0.1:3000", "http://::1:3000"]
)
def test_loopback_allows_only_its_names(url: str | None) -> None:
    hosts = hosts_for(url, ())
    assert [name for name in HERE if not hosts.allows(name)] == []
    assert [name for name in ELSEWHERE + NO_NAMES if hosts.allows(name)] == []


@pytest.mark.parametrize("url", ["http://localhost:3000", "http://10.0.0.1:3000", "http://fe80::1:3000", None])
def test_other_addresses_allow_any_name_unless_configured(url: str | None) -> None:
    """BentoML writes `localhost` for every interface."""
    assert all(hosts_for(url, ()).allows(name) for name in HERE + ELSEWHERE)
    named = hosts_for(url, ("api.example.com",))
    assert named.allows("API.example.com:443")
    assert all(named.allows(name) for name in HERE)
    assert not any(named.allows(name) for name in ELSEWHERE + NO_NAMES)


def test_wildcards() -> None:
    below = Hosts(("*.example.com",))
    assert below.allows("a.b.example.com")
    assert not below.allows("example.com")
    assert not below.allows("evilexample.com")
    assert Hosts(("*",)).allows("whatever")


SENT: list[tuple[dict[str, str], bool]] = [
    ({}, False),  # no browser
    ({"sec-fetch-site": "same-origin", "origin": "https://proxied.example"}, False),
    ({"sec-fetch-site": "none"}, False),
    ({"sec-fetch-site": "cross-site"}, True),
    ({"sec-fetch-site": "same-site", "origin": "http://localhost:8080"}, True),
    ({"sec-fetch-site": "cross-site", "origin": "https://app.example"}, False),
    ({"origin": "http://localhost:3000"}, False),
    ({"origin": "https://localhost:3000"}, False),  # behind a proxy that ends TLS
    ({"origin": "http://localhost:8080"}, True),
    ({"origin": "https://evil.example"}, True),
    ({"origin": "null"}, True),
    ({"origin": "https://app.example"}, False),
]


@pytest.mark.parametrize(("sent", "is_cross"), SENT)
def test_cross_site_requests_are_detected(sent: dict[str, str], is_cross: bool) -> None:
    headers = Headers({"host": "localhost:3000", **sent})
    assert is_cross_site("POST", headers, ("https://app.example",)) is is_cross
    assert not is_cross_site("POST", headers, ("*",))


@pytest.mark.parametrize(
    ("method", "mode", "is_cross"), [("GET", "navigate", False), ("POST", "navigate", True), ("GET", "cors", True)]
)
def test_navigation_is_not_cross_site_but_a_form_is(method: str, mode: str, is_cross: bool) -> None:
    headers = Headers({"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": mode})
    assert is_cross_site(method, headers, ()) is is_cross


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    return response.status_code, response.json()["code"]


def test_refusals_name_the_option_that_allows_it(client: httpx.Client) -> None:
    unknown = client.get("/v1/model", headers={"host": "evil.example"}).json()["detail"]
    assert unknown == "the name 'evil.example' in Host is not allowed: allow it with --allow-host"
    cross = client.get("/v1/model", headers={"sec-fetch-site": "cross-site"}).json()["detail"]
    assert cross == "pages of other sites may not call this server: allow a site with --allow-origin"


def test_server_accepts_its_own_names(client: httpx.Client, encode: Encode) -> None:
    evil = {"host": "evil.example"}
    assert problem(client.get("/v1/model", headers=evil)) == (421, "unknown_host")
    assert problem(client.post("/v1/classify", content=encode(), headers=evil)) == (421, "unknown_host")
    assert problem(client.get("/v2", headers=evil)) == (421, "unknown_host")
    assert problem(client.get("/nope", headers=evil)) == (421, "unknown_host")
    for path in ("/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"):
        assert client.get(path, headers=evil).status_code == 200


def test_cross_site_form_returns_403(client: httpx.Client, encode: Encode) -> None:
    cross = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert problem(client.post("/v1/classify", files={"image": encode()}, headers=cross)) == (403, "cross_site")
    assert problem(client.options("/v1/classify", headers=cross)) == (403, "cross_site")
    assert client.get("/", headers=cross).status_code == 200  # a link to the page


def test_allowed_hosts_and_origins_are_accepted(
    start: Start, bentoml_serve: list[str], model_file: Path, encode: Encode
) -> None:
    allowed = {"VITRAIL_ALLOW_HOST": "api.example.com", "VITRAIL_ALLOW_ORIGIN": "https://app.example, null"}
    with start(bentoml_serve, VITRAIL_MODEL=str(model_file), VITRAIL_PROVIDER="cpu", **allowed) as own:
        app = {"host": "api.example.com", "origin": "https://app.example", "sec-fetch-site": "cross-site"}
        requested = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        with httpx.Client(base_url=own.url) as client:
            preflight = client.options("/v1/classify", headers=app | requested)
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == "https://app.example"
            response = client.post("/v1/classify", content=encode(), headers=app)
            assert response.status_code == 200
            assert response.headers["access-control-allow-origin"] == "https://app.example"
            bad = client.post("/v1/classify", content=b"no image", headers=app)
            assert problem(bad) == (415, "unsupported_format")
            assert bad.headers["access-control-allow-origin"] == "https://app.example"  # or the page could not read it
            for other in ("https://evil.example", "https://app.example.evil.example"):
                assert problem(client.post("/v1/classify", headers=app | {"origin": other})) == (403, "cross_site")
            assert problem(client.get("/v1/model", headers={"host": "other.example"})) == (421, "unknown_host")
