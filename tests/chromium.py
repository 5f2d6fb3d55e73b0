"""Pages in Chromium, driven over its remote debugging protocol."""

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

CHROMIUM = shutil.which("chromium")
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "about:blank"]
TIMEOUT = 60  # seconds, on a busy machine


class Tab:
    """A page that is open in a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.last_id = 0
        self.faults: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.last_id += 1
        await self.socket.send_json({"id": self.last_id, "method": method, "params": params})
        async for frame in self.socket:
            message: dict[str, Any] = json.loads(frame.data)
            if message.get("id") == self.last_id:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            if message["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.faults.append(json.dumps(message["params"]))
        raise AssertionError("the browser is gone")

    async def value(self, expression: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        async with asyncio.timeout(TIMEOUT):
            while not await self.value(expression):
                await asyncio.sleep(0.05)

    async def choose(self, image: Path) -> None:
        root = await self.call("DOM.getDocument")
        result = await self.call("DOM.querySelector", nodeId=root["root"]["nodeId"], selector="#file")
        await self.call("DOM.setFileInputFiles", nodeId=result["nodeId"], files=[str(image)])


OpenPage = Callable[[str, Callable[[Tab], Awaitable[None]]], None]


@asynccontextmanager
async def opened(url: str, profile: Path) -> AsyncIterator[Tab]:
    """This address in a new browser; errors that the browser reports fail the test."""
    assert CHROMIUM is not None
    process = subprocess.Popen([CHROMIUM, f"--user-data-dir={profile}", *OPTIONS], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        (port,) = next(
            result.groups() for line in lines if (result := re.search(r"listening on ws://[^:]+:(\d+)", line))
        )
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as response:
                target = next(one for one in await response.json() if one["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"]) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                await tab.call("Page.navigate", url=url)
                await tab.until("document.readyState === 'complete' && location.href !== 'about:blank'")
                yield tab
                assert tab.faults == []
    finally:
        process.terminate()
        process.wait(30)
