"""The store of decoded images: what is kept, shared, bounded and lost."""

import errno
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrail.data import image_store
from vitrail.data.image_store import MISSING, NOT_KEPT, ImageStore, open_store, usable_bytes

pytestmark = pytest.mark.usefixtures("roomy_disk")


def image(key: int, height: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(key % 2**64).integers(0, 256, (height, 4, 3), np.uint8)


def fill(store: ImageStore, *keys: int) -> None:
    with store.filling() as writer:
        for key in keys:
            writer.put(key, image(key, 3 + abs(key) % 5))


def kept(store: ImageStore, *keys: int) -> list[bool]:
    """Whether each image is there; one that is has its own pixels."""
    rows = store.stored.rows(np.array(keys))
    found = []
    for key, row in zip(keys, rows.tolist(), strict=True):
        pixels = None if row == MISSING else store.stored.image(row)
        assert pixels is None or np.array_equal(pixels, image(key, 3 + abs(key) % 5))
        found.append(pixels is not None)
    return found


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_store, "SEGMENT", 200)


@pytest.mark.usefixtures("small_segments")
def test_images_are_found_by_key_in_this_process_and_in_another(tmp_path: Path) -> None:
    store = ImageStore(tmp_path, "form", 10**6)
    keys = [*range(-20, 20), -(2**63), 2**63 - 1]
    fill(store, *keys)
    assert len(list(tmp_path.glob("form/*.pixels"))) > 10
    for one in (store, ImageStore(tmp_path, "form", 10**6)):
        assert all(kept(one, *keys))
        assert kept(one, 20, 99) == [False, False]
    assert not any(kept(ImageStore(tmp_path, "another form", 10**6), *keys))


def test_an_image_that_was_put_twice_is_found_once(tmp_path: Path) -> None:
    store = ImageStore(tmp_path, "form", 10**6)
    fill(store, 1, 2)
    fill(store, 2, 3)
    assert all(kept(store, 1, 2, 3))
    assert len(store.stored.entries) == 3


def test_without_room_it_is_known_that_an_image_decodes_but_its_pixels_are_not_kept(tmp_path: Path) -> None:
    store = ImageStore(tmp_path, "form", 150)
    fill(store, 5, 6)  # 36 and 48 bytes
    fill(store, 9, 14)
    assert kept(store, 5, 6, 9, 14) == [True, True, False, False]
    assert (store.stored.rows(np.array([5, 6, 9, 14])) != MISSING).all()
    assert (store.stored.entries["offset"] == NOT_KEPT).sum() == 2
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.pixels")) <= 150


@pytest.mark.usefixtures("small_segments")
def test_segments_that_nobody_used_for_long_make_room(tmp_path: Path) -> None:
    old, used = ImageStore(tmp_path, "old", 900), ImageStore(tmp_path, "used", 900)
    fill(old, *range(6))
    fill(used, *range(6))
    hours_ago = time.time() - 3 * image_store.RECENT
    for path in tmp_path.rglob("*.pixels"):
        os.utime(path, (hours_ago, hours_ago))
    assert all(kept(used, *range(6)))  # which counts as use
    fill(used, *range(6, 12))
    assert all(kept(used, *range(12)))
    assert not all(kept(ImageStore(tmp_path, "old", 900), *range(6)))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.pixels")) <= 900


@pytest.mark.usefixtures("small_segments")
def test_a_segment_removed_by_another_process_is_missing_pixels_and_no_error(tmp_path: Path) -> None:
    store = ImageStore(tmp_path, "form", 10**6)
    fill(store, *range(40))
    for path in tmp_path.rglob("*.pixels"):
        path.unlink()
    assert not any(kept(store, *range(40)))


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: b"", lambda data: b"no numbers"])
def test_a_damaged_index_loses_its_segment_alone(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    store = ImageStore(tmp_path, "form", 10**6)
    fill(store, 1, 2)
    fill(store, 3, 4)
    index = min(path for path in tmp_path.rglob("*.npy"))
    index.write_bytes(damage(index.read_bytes()))
    assert sorted(kept(ImageStore(tmp_path, "form", 10**6), 1, 2, 3, 4)) == [False, False, True, True]


def test_pixels_cut_short_are_missing(tmp_path: Path) -> None:
    fill(ImageStore(tmp_path, "form", 10**6), 1, 2, 3)
    (pixels,) = tmp_path.rglob("*.pixels")
    os.truncate(pixels, pixels.stat().st_size - 1)
    assert kept(ImageStore(tmp_path, "form", 10**6), 1, 2, 3) == [True, True, False]


FILL_FOREVER = """
import sys
from pathlib import Path
import numpy as np
from vitrail.data import image_store
image_store.SEGMENT = 200
image_store.usable_bytes = lambda folder: 2**40
store = image_store.ImageStore(Path(sys.argv[1]), "form", 10**9)
with store.filling() as writer:
    key = 0
    while True:
        writer.put(key, np.random.default_rng(key).integers(0, 256, (3 + key % 5, 4, 3), np.uint8))
        key += 1
        if key == 50:
            print("filling", flush=True)
"""


FILL_ONCE = """
import sys, time
from pathlib import Path
while not any(Path(sys.argv[1]).rglob("*.npy")):
    time.sleep(0.01)
from vitrail.data.image_store import ImageStore
with ImageStore(Path(sys.argv[1]), "form", 1).filling():
    print("in")
"""


def test_a_killed_process_loses_one_segment_and_holds_up_no_other(tmp_path: Path) -> None:
    writer, second = (
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
        for program in (FILL_FOREVER, FILL_ONCE)
    )
    with writer, second, ExitStack() as ends:
        ends.callback(writer.kill)
        ends.callback(second.kill)
        assert writer.stdout is not None
        assert second.stdout is not None
        assert writer.stdout.readline() == b"filling\n"
        abandoned = tmp_path / "form" / "1-abandoned.pixels"  # of one that was killed before
        abandoned.write_bytes(b"half")
        assert select.select([second.stdout], [], [], 0.5)[0] == []  # waits
        writer.kill()
        assert second.stdout.readline() == b"in\n"
    assert all(kept(ImageStore(tmp_path, "form", 10**9), *range(45)))
    assert not abandoned.exists()
    assert all(path.with_suffix(".npy").exists() for path in tmp_path.rglob("*.pixels"))


def test_what_is_left_of_a_disk_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for total, free, usable in ((2**43, 6 * 2**30, 2**30), (1000, 500, 400), (1000, 60, -40)):
        disk = SimpleNamespace(total=total, free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, disk=disk: disk)
        assert usable_bytes(tmp_path) == usable


def test_images_that_would_take_what_is_left_of_a_disk_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_store, "usable_bytes", lambda folder: 40)
    store = ImageStore(tmp_path, "form", 10**6)
    fill(store, 5, 6)  # 36 and 48 bytes
    assert kept(store, 5, 6) == [True, False]


@pytest.mark.usefixtures("small_segments")
def test_a_full_disk_keeps_what_was_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ImageStore(tmp_path, "form", 10**6)
    with store.filling() as writer:
        for key in range(20):
            writer.put(key, image(key, 3 + key % 5))

        def full(*arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        for key in range(20, 40):
            writer.put(key, image(key, 3 + key % 5))
        assert writer.fault is not None
        assert writer.fault.errno == errno.ENOSPC
    found = kept(store, *range(40))
    assert sum(found) >= 15
    assert found == sorted(found, reverse=True)
    assert all(path.with_suffix(".npy").exists() for path in tmp_path.rglob("*.pixels"))


def test_no_store_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in place of the lock stands for a read-only one, which root could write to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_store("form", 1) is not None
    (tmp_path / "vitrail/images/other/lock").mkdir(parents=True)
    assert open_store("other", 1) is None


def test_no_store_where_no_folder_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert open_store("form", 1) is None
