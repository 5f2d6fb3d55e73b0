"""The pages in Chromium: it chooses an image, and reads what the page shows."""

import re
from pathlib import Path

import httpx
import pytest

from vitrail.model_file.classifier import Classifier

from ..chromium import CHROMIUM, OpenPage, Tab
from ..servers import Server
from .conftest import Encode

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


async def labels(tab: Tab) -> list[str]:
    texts: list[str] = await tab.value("[...document.querySelectorAll('#labels span')].map(one => one.textContent)")
    return texts


@pytest.fixture
def image(encode: Encode, tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    path.write_bytes(encode())
    return path


def test_page_shows_labels_and_evidence(
    open_page: OpenPage, explaining: Server, explained_file: Path, image: Path
) -> None:
    expected = [label.label for label in Classifier(explained_file, "cpu").classify(image.read_bytes())]
    shown = "!document.getElementById('evidence').hidden && document.getElementById('overlay').naturalWidth >= 224"

    async def scenario(tab: Tab) -> None:
        await tab.choose(image)
        await tab.until(shown)
        assert await labels(tab) == expected
        assert await tab.value("document.getElementById('why').textContent") == f"Why {expected[0]}?"
        first = await tab.value("document.getElementById('overlay').src")
        await tab.value("document.querySelectorAll('#labels button')[1].click()")
        await tab.until(f"document.getElementById('why').textContent === 'Why {expected[1]}?'")
        assert await tab.value("document.getElementById('overlay').src") != first
        pressed = "[...document.querySelectorAll('#labels button')].map(one => one.ariaPressed)"
        assert await tab.value(pressed) == ["false", "true", "false", "false", "false"]

    open_page(explaining.url, scenario)


def test_page_without_explain_file_shows_only_labels(
    open_page: OpenPage, server: Server, model_file: Path, image: Path
) -> None:
    expected = [label.label for label in Classifier(model_file, "cpu").classify(image.read_bytes())]

    async def scenario(tab: Tab) -> None:
        await tab.choose(image)
        await tab.until("document.querySelectorAll('#labels li').length")
        assert await labels(tab) == expected
        assert await tab.value("document.querySelectorAll('#labels button').length") == 0
        assert await tab.value("document.getElementById('evidence').hidden")

    open_page(server.url, scenario)


def test_page_shows_the_error_of_a_bad_image(open_page: OpenPage, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(b"nothing")

    async def scenario(tab: Tab) -> None:
        await tab.choose(path)
        await tab.until("document.getElementById('message').classList.contains('bad')")
        assert "Unsupported format" in await tab.value("document.getElementById('message').textContent")
        tab.faults = [fault for fault in tab.faults if "415" not in fault]  # the browser logs the response itself

    open_page(server.url, scenario)


def test_docs_show_every_route(open_page: OpenPage, server: Server) -> None:
    document = httpx.get(f"{server.url}/docs.json").json()
    called = {path for path in document["paths"] if not re.search(r"\.(css|js)$|^/$|^/docs$|/versions/", path)}

    async def scenario(tab: Tab) -> None:
        await tab.until("document.getElementById('errors') !== null")
        headings = await tab.value("[...document.querySelectorAll('h2 code')].map(one => one.textContent)")
        assert set(headings) == called
        examples = await tab.value("[...document.querySelectorAll('section > pre')].map(one => one.textContent)")
        assert not [text for text in examples if "{name}" in text or "undefined" in text]

    open_page(f"{server.url}/docs", scenario)
