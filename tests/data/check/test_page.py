"""The page and the text of a report: complete, self-contained, and safe for any name."""

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
from PIL import Image

from vitrail.data.check.check import check
from vitrail.data.check.page import page
from vitrail.data.check.text import printable, text_of


def written(path: Path) -> tuple[str, str]:
    checked = check(str(path), 0, lambda done, count: None)
    return page(checked), text_of(checked.report)


def test_the_page_is_self_contained_and_shows_the_images(messy: Path) -> None:
    html, _ = written(messy)
    assert not re.findall(r"<script|https?://|url\(|@import", html)
    sources = re.findall(r'src="([^"]*)"', html)
    assert len(sources) > 30
    assert all(source.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for source in sources)
    image = Image.open(io.BytesIO(b64decode(sources[0].partition(",")[2])))
    assert max(image.size) <= 120


def test_the_page_names_every_corrupt_image_and_shows_leaks_side_by_side(messy: Path) -> None:
    html, _ = written(messy)
    for name in ("empty", "cut", "phone"):
        assert f"<figcaption>train/cat/{name}.jpg</figcaption>" in html
    (leak,) = re.findall(r"<li>(?:(?!<li>).)*test/cat/leak.jpg(?:(?!</li>).)*</li>", html.partition("Look at")[0], re.S)
    shown = [b64decode(data) for data in re.findall(r"base64,([^\"]*)\"", leak)]
    assert len(shown) == 2
    assert shown[0] == shown[1]
    assert "train/cat/00.jpg" in leak


def test_what_a_centre_crop_cuts_is_dark(messy: Path) -> None:
    html, _ = written(messy)
    card = html.partition("to a centre crop")[2]
    image = np.asarray(Image.open(io.BytesIO(b64decode(re.findall(r"base64,([^\"]*)\"", card)[0]))).convert("L"))
    side = min(image.shape)
    left = (image.shape[1] - side) // 2
    assert image[:, :left].max() < 100
    assert image[:, left : left + side].max() > 100


def test_names_cannot_break_the_page_or_the_terminal(plain: Path) -> None:
    bad = plain / "train/cat/<b>\x1b[31m\udcff.jpg"
    bad.write_bytes(b"")
    html, text = written(plain)
    assert "<b>" not in html
    assert "&lt;b&gt;\\x1b[31m\\udcff.jpg" in html
    assert "train/cat/<b>\\x1b[31m\\udcff.jpg: the file is empty" in text
    html.encode()
    text.encode()
    assert printable("ねこ") == "ねこ"


def test_the_text_lists_all_corrupt_images_and_few_of_the_others(plain: Path) -> None:
    for number in range(9):
        (plain / f"train/cat/bad{number}.jpg").write_bytes(b"")
        (plain / f"train/cat/{number}.heic").write_bytes(b"")
    _, text = written(plain)
    assert len(re.findall(r"bad\d\.jpg: the file is empty", text)) == 9
    assert len(re.findall(r"\d\.heic", text)) == 3
    assert "HEIC files, which are not read: 9" in text


def test_only_the_first_classes_are_in_the_text_and_all_on_the_page(tmp_path: Path, cache: None) -> None:
    for number in range(30):
        folder = tmp_path / f"set/train/class{number:02d}"
        folder.mkdir(parents=True)
        for copy in range(3):
            pixels = np.random.default_rng([number, copy]).integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{copy}.png")
    html, text = written(tmp_path / "set")
    assert "class19" in text
    assert "class20" not in text.partition("\n\nformats")[0]
    assert re.search(r"10 more classes +10 +10 +10 +30", text)
    assert "class29" in html
