"""The pages as a person sees them: Chromium chooses a picture, and reads what stands there then."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from vitrail.classifier import Classifier

CHROMIUM = shutil.which("chromium")
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "about:blank"]
PATIENCE = 60  # seconds: a browser on a machine that is busy with other tests

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


class Tab:
    """A page that is open in a browser."""

    def __init__(self, wire: aiohttp.ClientWebSocketResponse) -> None:
        self.wire = wire
        self.asked = 0
        self.faults: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.asked += 1
        await self.wire.send_json({"id": self.asked, "method": method, "params": params})
        async for message in self.wire:
            told = json.loads(message.data)
            if told.get("id") == self.asked:
                assert "error" not in told, told
                return told["result"]
            if told["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.faults.append(json.dumps(told["params"]))
        raise AssertionError("the browser is gone")

    async def value(self, expression: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await self.value(expression):
                await asyncio.sleep(0.05)

    async def choose(self, picture: Path) -> None:
        root = await self.call("DOM.getDocument")
        found = await self.call("DOM.querySelector", nodeId=root["root"]["nodeId"], selector="#file")
        await self.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(picture)])

    async def labels(self) -> list[str]:
        return await self.value("[...document.querySelectorAll('#labels span')].map(one => one.textContent)")


@asynccontextmanager
async def opened(url: str, profile: Path) -> AsyncIterator[Tab]:
    """This address in a browser of its own; what the browser complains of fails the test."""
    assert CHROMIUM is not None
    process = subprocess.Popen([CHROMIUM, f"--user-data-dir={profile}", *OPTIONS], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        (port,) = next(found.groups() for line in lines if (found := re.search(r"listening on ws://[^:]+:(\d+)", line)))
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                target = next(one for one in await answer.json() if one["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"]) as wire:
                tab = Tab(wire)
                for domain in ("Page", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                await tab.call("Page.navigate", url=url)
                await tab.until("document.readyState === 'complete' && location.protocol === 'http:'")
                yield tab
                assert tab.faults == []
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def visit(tmp_path) -> Callable[[str, Callable[[Tab], Awaitable[None]]], None]:
    def visited(url: str, story: Callable[[Tab], Awaitable[None]]) -> None:
        async def told() -> None:
            async with opened(url, tmp_path / "profile") as tab:
                await story(tab)

        asyncio.run(told())

    return visited


@pytest.fixture
def picture(encode, tmp_path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(encode())
    return path


def test_a_picture_gets_its_labels_and_what_speaks_for_each(visit, explaining, explained_file, picture):
    expected = [label.label for label in Classifier(explained_file, "cpu").classify(picture.read_bytes())]
    shown = "!document.getElementById('evidence').hidden && document.getElementById('overlay').naturalWidth >= 224"

    async def story(tab: Tab) -> None:
        await tab.choose(picture)
        await tab.until(shown)
        assert await tab.labels() == expected
        assert await tab.value("document.getElementById('why').textContent") == f"Why {expected[0]}?"
        first = await tab.value("document.getElementById('overlay').src")
        await tab.value("document.querySelectorAll('#labels button')[1].click()")
        await tab.until(f"document.getElementById('why').textContent === 'Why {expected[1]}?'")
        assert await tab.value("document.getElementById('overlay').src") != first
        pressed = "[...document.querySelectorAll('#labels button')].map(one => one.ariaPressed)"
        assert await tab.value(pressed) == ["false", "true", "false", "false", "false"]

    visit(explaining.url, story)


def test_without_an_explain_file_there_are_labels_alone(visit, server, model_file, picture):
    expected = [label.label for label in Classifier(model_file, "cpu").classify(picture.read_bytes())]

    async def story(tab: Tab) -> None:
        await tab.choose(picture)
        await tab.until("document.querySelectorAll('#labels li').length")
        assert await tab.labels() == expected
        assert await tab.value("document.querySelectorAll('#labels button').length") == 0
        assert await tab.value("document.getElementById('evidence').hidden")

    visit(server.url, story)


def test_a_bad_picture_is_told_of(visit, server, tmp_path):
    path = tmp_path / "bad.png"
    path.write_bytes(b"nothing")

    async def story(tab: Tab) -> None:
        await tab.choose(path)
        await tab.until("document.getElementById('message').classList.contains('bad')")
        assert "Unsupported format" in await tab.value("document.getElementById('message').textContent")
        tab.faults = [fault for fault in tab.faults if "415" not in fault]  # the browser notes the answer itself

    visit(server.url, story)


def test_docs_show_every_route(visit, server):
    document = httpx.get(f"{server.url}/docs.json").json()
    called = {path for path in document["paths"] if not re.search(r"\.(css|js)$|^/$|^/docs$|/versions/", path)}

    async def story(tab: Tab) -> None:
        await tab.until("document.getElementById('errors') !== null")
        headings = await tab.value("[...document.querySelectorAll('h2 code')].map(one => one.textContent)")
        assert set(headings) == called
        examples = await tab.value("[...document.querySelectorAll('section > pre')].map(one => one.textContent)")
        assert not [text for text in examples if "{name}" in text or "undefined" in text]

    visit(f"{server.url}/docs", story)
