"""A page as a person sees it: Chromium opens it, and a test asks what stands there and points at things."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium")
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "about:blank"]
PATIENCE = 60  # seconds: a browser on a machine that is busy with other tests


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

    async def choose(self, image: Path) -> None:
        root = await self.call("DOM.getDocument")
        found = await self.call("DOM.querySelector", nodeId=root["root"]["nodeId"], selector="#file")
        await self.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(image)])


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
                await tab.until("document.readyState === 'complete' && location.href !== 'about:blank'")
                yield tab
                assert tab.faults == []
    finally:
        process.terminate()
        process.wait(30)
