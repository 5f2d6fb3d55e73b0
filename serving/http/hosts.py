"""Which names this server answers to, and which web pages may call it."""

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
READ = frozenset({b"host", b"origin", b"sec-fetch-site", b"sec-fetch-mode"})
PROBES = frozenset({"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._~%-]+)(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True)
class Hosts:
    """The names in Host that are answered: those of the loopback interface, and the given ones or any.

    A page of another site whose name its owner makes resolve to 127.0.0.1 reaches a server there, and may read the
    answers, since its browser takes both for one site (DNS rebinding). The name in Host gives it away.
    """

    names: tuple[str, ...]  # `*` is any, `*.example.com` any below example.com

    def answer_to(self, host: str) -> bool:
        return is_among(host, self.names)


@lru_cache(256)  # callers send the same few
def is_among(host: str, patterns: tuple[str, ...]) -> bool:
    found = HOST.fullmatch(host)
    if found is None:
        return False
    name = found["name"].lower().rstrip(".")
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


def hosts_at(url: str | None, named: tuple[str, ...]) -> Hosts:
    """The names to answer to at the address that BentoML listens on.

    Its url has the address as it was given, but `localhost` where it listens on every interface: there a server has
    whatever names its network gives it, so any is answered unless some are named.
    """
    address = (url or "").removeprefix("http://").removeprefix("https://").rpartition(":")[0]
    listens_on_loopback = address != "localhost" and is_loopback(address)
    return Hosts(named or (() if listens_on_loopback else (ANY,)))


def comes_from_another_site(method: str, headers: Mapping[str, str], origins: tuple[str, ...]) -> bool:
    """Whether a browser sends this for a page of an origin that is neither ours nor one of these.

    Browsers say so themselves (Fetch Metadata), and no page can forge it; older ones, and all on plain HTTP beyond
    this machine, send only the page's Origin. A link that is followed is a visit, not a page's call.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if ANY in origins or (origin is not None and origin in origins):
        return False
    if site is not None:
        is_visit = headers.get("sec-fetch-mode") == "navigate" and method in ("GET", "HEAD")
        return site not in ("same-origin", "none") and not is_visit
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class HostGuard:
    """Middleware that refuses what is addressed to another name, and what pages of other sites send."""

    def __init__(self, app: ASGIApp, hosts: Hosts, origins: tuple[str, ...]) -> None:
        self.app, self.hosts, self.origins = app, hosts, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (problem := self.problem(scope)) is not None:
            await problem_response(Request(scope), problem)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def problem(self, scope: Scope) -> Problem | None:
        """What is wrong with where this comes from; probes and metrics are asked under any name."""
        if scope["path"] in PROBES:
            return None
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in READ}
        host = headers.get("host")
        if host is not None and not self.hosts.answer_to(host):  # HTTP/1.0 may leave it out, and no browser speaks that
            return Problem(
                421, "unknown_host", f"this server does not answer to {host[:80]!r}: --allow-host names more"
            )
        if comes_from_another_site(scope["method"], headers, self.origins):
            return Problem(
                403, "cross_site", "pages of other sites may not call this server: --allow-origin names some"
            )
        return None
