"""`vitrail bench decode`: views of the right size and content, speed, and agreement of predictions."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.bench.decode import measure as bench
from vitrail.bench.decode.photos import cut_views, draw_view, find_photos, large_enough
from vitrail.cli import main
from vitrail.data.folders import Folders
from vitrail.errors import DataError, UsageError
from vitrail.images.canvas import InputRule, to_canvas
from vitrail.images.decode import decode, fit


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Coarse seeded blotches."""
    blotches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(blotches).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs named after classes of the digits model, and a text file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, sides in {"0.png": (400, 300), "1.jpg": (301, 401), "7.webp": (640, 320)}.items():
        photo(*sides, seed=int(name[0])).save(folder / name)
    (folder / "note.txt").write_text("not a photograph")
    return folder


def test_views_lie_in_the_photo_and_have_enough_pixels() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        sides = (int(random.integers(30, 90)), int(random.integers(30, 90)))
        left, top, width, height = draw_view(sides, random, 900)
        assert width * height >= 900
        assert 0 <= left <= left + width <= sides[0]
        assert 0 <= top <= top + height <= sides[1]


def test_views_vary_in_position_size_and_shape() -> None:
    random = np.random.default_rng(0)
    views = np.array([draw_view((100, 80), random, 2000) for _ in range(500)])
    pixels, shapes = views[:, 2] * views[:, 3], views[:, 2] / views[:, 3]
    assert pixels.min() < 2200
    assert pixels.max() > 7500
    assert shapes.min() < 0.5
    assert shapes.max() > 3
    assert (views[:, :2].max(axis=0) > (50, 40)).all()
    assert (views[:, :2].min(axis=0) == 0).all()


def test_view_is_a_crop_of_the_photo(photos: Path) -> None:
    files = find_photos(photos)
    views = list(cut_views(files, 7, seed=3, least=20_000))
    assert Counter(view.photo for view in views) == {"0": 3, "1": 2, "7": 2}
    random = np.random.default_rng([3, 0])
    whole = np.array(decode(files[0].read_bytes())).astype(int)
    left, top, width, height = draw_view((400, 300), random, 20_000)
    assert views[0].pixels == width * height
    seen = np.array(decode(views[0].jpeg)).astype(int)
    assert np.abs(seen - whole[top : top + height, left : left + width]).mean() < 4


def test_the_seed_decides_the_views(photos: Path) -> None:
    files = find_photos(photos)
    first, same, other = ([view.jpeg for view in cut_views(files, 6, seed, 20_000)] for seed in (0, 0, 1))
    assert first == same
    assert not set(first) & set(other)


def test_a_folder_without_enough_photographs_is_refused(photos: Path, tmp_path: Path) -> None:
    assert [each.name for each in large_enough(find_photos(photos), 120_700)] == ["1.jpg", "7.webp"]
    with pytest.raises(DataError, match="no folder of photographs"):
        find_photos(tmp_path / "none")
    with pytest.raises(DataError, match="here are 0"):
        large_enough(find_photos(photos))
    (photos / "0.jpg").write_bytes((photos / "1.jpg").read_bytes())
    with pytest.raises(DataError, match="two photographs"):
        find_photos(photos)


def test_agreement_counts_labels_with_and_without_narrow_margins() -> None:
    full = np.array([[0.7, 0.2, 0.1], [0.405, 0.395, 0.2], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1]], np.float32)
    ours = np.array([[0.69, 0.21, 0.1], [0.39, 0.41, 0.2], [0.1, 0.3, 0.6], [0.44, 0.46, 0.1]], np.float32)
    result = bench.agreement(ours, full, np.array([0, 1, 2, 1]), "m", (2.0, 3.0))
    assert (result.all.hits, result.all.total) == (2, 4)
    assert (result.clear.hits, result.clear.total) == (2, 3)
    assert (result.accuracy.hits, result.accuracy.total) == (2, 4)
    assert result.max_probability_difference == pytest.approx(0.06)


@pytest.mark.long
def test_both_ways_are_measured_and_compared(photos: Path, model_file: Path) -> None:
    plan = bench.Plan(
        str(photos), str(model_file), views=12, camera=(320, 240), min_view=20_000, rounds=5, seconds=0.001
    )
    report = bench.measure(plan)
    assert report.rule.size == 8  # the model's, not the plan's
    speed = report.speed
    assert (speed.photos, set(speed.rounds)) == (3, {bench.OURS, bench.FULL})
    for name, rate in speed.uploads_per_second.items():
        assert rate == pytest.approx(3 / np.median(speed.rounds[name]))
    ratios = np.divide(speed.rounds[bench.FULL], speed.rounds[bench.OURS])
    assert speed.speedup.value == pytest.approx(np.median(ratios))
    agreement = report.agreement
    assert agreement is not None
    views = list(cut_views(find_photos(photos), 12, 0, 20_000))
    assert agreement.megapixels == (min(v.pixels for v in views) / 1e6, max(v.pixels for v in views) / 1e6)
    assert (agreement.all.total, agreement.views, agreement.accuracy.total) == (12, 12, 12)
    assert agreement.clear.total <= 12
    text = bench.report_text(report)
    assert "3 photos of 320×240 at quality 90" in text
    assert f"{speed.speedup.value:.2f} [" in text
    assert f"same label                              {agreement.all} of 12" in text


def test_ways_are_fit_and_decoding_all_pixels(photos: Path) -> None:
    """Noise makes the smaller scale visible."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8))
    noise.save(photos / "0.jpg", quality=95)
    data, rule = (photos / "0.jpg").read_bytes(), InputRule(40)
    ours, full = bench.WAYS[bench.OURS](data, rule), bench.WAYS[bench.FULL](data, rule)
    assert np.array_equal(ours, fit(data, rule))
    assert np.array_equal(full, to_canvas(decode(data), rule))
    assert not np.array_equal(ours, full)


def test_model_of_other_photographs_is_refused(photos: Path, model_file: Path) -> None:
    photo(300, 300, 5).save(photos / "sunset.png")
    plan = bench.Plan(str(photos), str(model_file), views=3, camera=(64, 48), min_view=20_000, seconds=0.001)
    with pytest.raises(UsageError, match="does not know the photographs sunset"):
        bench.measure(plan)


def test_the_command_cuts_views_that_fit_reads_and_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, views, output = tmp_path / "photos", tmp_path / "views", tmp_path / "out.json"
    folder.mkdir()
    for name in ("beach", "leaf"):
        photo(1600, 1300, len(name)).save(folder / f"{name}.jpg")
    argv = ["bench", "decode", "--photos", str(folder)]
    assert main([*argv, "--cut", str(views), "--views", "10"]) == 0
    assert "10 views in" in capsys.readouterr().out
    read = Folders(views)
    assert read.classes == ("beach", "leaf")
    assert sum(len(read.labels(part)) for part in ("train", "val", "test")) == 10
    assert main([*argv, "--cut", str(views)]) == UsageError.exit_code
    assert "is there already" in capsys.readouterr().err

    monkeypatch.setattr("vitrail.bench.core.rounds.MIN_CALLS", 1)
    monkeypatch.setattr("vitrail.bench.core.rounds.WARM_UP", 0)
    assert main([*argv, "--rounds", "5", "--size", "32", "--quality", "80", "--json", str(output)]) == 0
    report = json.loads(output.read_text())
    assert report["plan"]["camera"] == [4000, 3000]
    assert report["plan"]["quality"] == 80
    assert report["rule"]["size"] == 32
    assert report["agreement"] is None
    assert report["speed"]["speedup"]["value"] > 1
    assert "canvases of 32, rule squash" in capsys.readouterr().out
