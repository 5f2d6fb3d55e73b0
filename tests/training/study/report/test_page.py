"""The page in a browser: tooltips, phone, dark theme, print."""

from pathlib import Path

import pytest

from vitrail.plots.formatting import percent_range
from vitrail.training.study.report.results import StudyResults
from vitrail.training.study.statistics.recommendation import about

from ....chromium import CHROMIUM, OpenPage, Tab

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

READOUT = "document.getElementById('readout').textContent"
RESTING = f"{READOUT}.startsWith('Point at the curves')"
DRAWING = "[...document.querySelectorAll('.plot svg')].find(one => getComputedStyle(one).display !== 'none')"
POINT = """(() => {
  document.getElementById('plot').scrollIntoView({ block: 'center' });
  const box = [...DRAWING.querySelectorAll('.c1 .mean')].at(-1).getBoundingClientRect();
  const where = { clientX: box.x + box.width / 2, clientY: box.y + box.height / 2, bubbles: true };
  document.elementFromPoint(where.clientX, where.clientY).dispatchEvent(new PointerEvent('pointermove', where));
})()""".replace("DRAWING", DRAWING)


async def press(tab: Tab, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        await tab.call("Input.dispatchKeyEvent", type=kind, key=key)


async def phone(tab: Tab) -> None:
    await tab.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)


async def media(tab: Tab, kind: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    await tab.call("Emulation.setEmulatedMedia", media=kind, features=features)


def test_pointing_at_a_size_shows_its_numbers(open_page: OpenPage, crossing: Path, results: StudyResults) -> None:
    point = results.forecast.contenders[1].points[-1]

    async def scenario(tab: Tab) -> None:
        assert await tab.value(RESTING)
        await tab.value(POINT)
        shown = await tab.value(READOUT)
        assert shown.startswith("4,000 images, measured")
        assert percent_range(point.error, point.low, point.high) in shown
        assert "ViT ahead, probability > 99 %" in shown
        await tab.value("document.getElementById('view-accuracy').click()")
        accuracy = percent_range(1 - point.error, 1 - point.high, 1 - point.low)
        assert accuracy in await tab.value(READOUT)
        await tab.value("document.getElementById('view-error').click()")
        await tab.value("document.getElementById('show-1').click()")
        assert "CNN" not in await tab.value(READOUT)
        assert await tab.value(f"getComputedStyle({DRAWING}.querySelector('g.c1')).display") == "none"

    open_page((crossing / "report.html").as_uri(), scenario)


def test_arrow_keys_move_over_the_sizes(open_page: OpenPage, crossing: Path, results: StudyResults) -> None:
    point = results.forecast.contenders[0].points[0]

    async def scenario(tab: Tab) -> None:
        await tab.value("document.getElementById('plot').focus()")
        await press(tab, "ArrowRight")
        shown = await tab.value(READOUT)
        assert shown.startswith("100 images, measured")
        assert percent_range(point.error, point.low, point.high) in shown
        await press(tab, "ArrowRight")
        assert (await tab.value(READOUT)).startswith("250 images, measured")
        await press(tab, "End")
        shown = await tab.value(READOUT)
        assert shown.startswith(f"{about(results.forecast.grid[-1])} images, forecast")
        assert "points off" in shown
        await press(tab, "Escape")
        assert await tab.value(RESTING)

    open_page((crossing / "report.html").as_uri(), scenario)


def test_a_phone_needs_no_horizontal_scrolling(open_page: OpenPage, crossing: Path) -> None:
    async def scenario(tab: Tab) -> None:
        await phone(tab)
        await tab.value("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert await tab.value("innerWidth") == 360
        assert await tab.value("document.documentElement.scrollWidth") <= 360
        assert await tab.value(f"{DRAWING}.id") == "error-narrow"
        await tab.value(POINT)
        assert await tab.value("document.documentElement.scrollWidth") <= 360
        assert (await tab.value(READOUT)).startswith("4,000 images, measured")

    open_page((crossing / "report.html").as_uri(), scenario)


def test_the_dark_theme_has_other_colours(open_page: OpenPage, crossing: Path) -> None:
    colours = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color, "
        f"getComputedStyle({DRAWING}.querySelector('.c0 .line')).stroke]"
    )

    async def scenario(tab: Tab) -> None:
        seen = []
        for scheme in ("light", "dark"):
            await media(tab, "screen", scheme)
            seen.append(await tab.value(colours))
        assert not [one for one, other in zip(*seen, strict=True) if one == other]

    open_page((crossing / "report.html").as_uri(), scenario)


def test_print_shows_everything_in_the_light_theme(open_page: OpenPage, crossing: Path) -> None:
    async def scenario(tab: Tab) -> None:
        row = "document.getElementById('run-CNN-250-s1')"
        assert await tab.value(f"{row}.offsetParent === null || !{row}.checkVisibility()")
        await media(tab, "print", "dark")
        assert await tab.value(f"{row}.checkVisibility() && {row}.getBoundingClientRect().height > 5")
        assert await tab.value("getComputedStyle(document.body).color") == "rgb(34, 37, 43)"
        assert await tab.value(f"{DRAWING}.id") == "error-wide"

    open_page((crossing / "report.html").as_uri(), scenario)


def test_curves_are_visible_without_scripts(open_page: OpenPage, crossing: Path) -> None:
    async def scenario(tab: Tab) -> None:
        await tab.call("Emulation.setScriptExecutionDisabled", value=True)
        await tab.call("Page.reload")
        await tab.until(f"document.readyState === 'complete' && {DRAWING}.querySelector('title') !== null")
        title = await tab.value(f"{DRAWING}.querySelector('.c0 .mean').parentNode.querySelector('title').textContent")
        assert title.startswith("ViT, 100 images, 3 seeds: test error ")

    open_page((crossing / "report.html").as_uri(), scenario)
