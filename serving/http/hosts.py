"""Which names in Host this server accepts, and which web pages may call it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from vitrail.serving.http.problems import Problem, problem_response

ANY = "*"
GUARDED_HEADERS = frozenset({b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode"})
PROBES = frozenset({"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._~%-]+)(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True)
class Hosts:
    """The allowed values of Host: the loopback names, and the given patterns.

    It protects against DNS rebinding: a page whose domain resolves to 127.0.0.1 can call a local server and read its
    responses, since the browser takes both for one site. The Host header still has the page's domain.
    """

    names: tuple[str, ...]  # `*` is any, `*.example.com` any subdomain

    def allows(self, host: str) -> bool:
        return matches_any(host, self.names)


@lru_cache(256)  # clients send few different ones
def matches_any(host: str, patterns: tuple[str, ...]) -> bool:
    match = HOST.fullmatch(host)
    if match is None:
        return False
    name = match["name"].lower().rstrip(".")
    return is_loopback(name) or any(matches(name, pattern.lower()) for pattern in patterns)


def matches(name: str, pattern: str) -> bool:
    return pattern in (ANY, name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))


def is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def hosts_for(url: str | None, configured: tuple[str, ...]) -> Hosts:
    """The allowed hosts for the address that BentoML listens on.

    BentoML's url has the bind address, but `localhost` where it listens on every interface: there any name is allowed
    unless some are configured.
    """
    address = (url or "").removeprefix("http://").removeprefix("https://").rpartition(":")[0]
    listens_on_loopback = address != "localhost" and is_loopback(address)
    return Hosts(configured or (() if listens_on_loopback else (ANY,)))


def is_cross_site(method: str, headers: Mapping[str, str], origins: tuple[str, ...]) -> bool:
    """Whether a browser sends this request for a page whose origin is neither ours nor allowed.

    Browsers state it in Sec-Fetch-Site, which no page can forge; older ones, and all of them over plain HTTP to
    another machine, send only Origin. Following a link (navigation) is allowed.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if ANY in origins or (origin is not None and origin in origins):
        return False
    if site is not None:
        is_navigation = headers.get("sec-fetch-mode") == "navigate" and method in ("GET", "HEAD")
        return site not in ("same-origin", "none") and not is_navigation
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class HostGuard:
    """Middleware that refuses requests for an unknown Host, and cross-site requests of browsers."""

    def __init__(self, app: ASGIApp, hosts: Hosts, origins: tuple[str, ...]) -> None:
        self.app, self.hosts, self.origins = app, hosts, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self.problem(scope)) is not None:
            await problem_response(Request(scope), problem)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def problem(self, scope: Scope) -> Problem | None:
        """Why this request is refused, or None; probes and metrics are allowed for any Host."""
        if scope["path"] in PROBES:
            return None
        headers = {
            name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in GUARDED_HEADERS
        }
        host = headers.get("host")
        if host is not None and not self.hosts.allows(host):  # HTTP/1.0 may omit it; no browser uses that
            detail = f"the name {host[:80]!r} in Host is not allowed: allow it with --allow-host"
            return Problem(421, "unknown_host", detail)
        if is_cross_site(scope["method"], headers, self.origins):
            detail = "pages of other sites may not call this server: allow a site with --allow-origin"
            return Problem(403, "cross_site", detail)
        return None
