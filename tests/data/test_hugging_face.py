"""Hugging Face sets: Parquet and image folders made here, their splits, columns and errors."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitrail.data import Part, open_source
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule

datasets = pytest.importorskip("datasets", reason="needs pip install 'vitrail[hf]'")
RULE = InputRule(6)
CLASSES = ["oak", "fir"]
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 6), (level, level, level)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes splits of 12 images as Parquet; image i of a split is a level of grey, its class i % 2."""

    def written(splits: dict[str, int], labels: dict[str, list[int]] | None = None, **columns: Any) -> Path:
        folder = tmp_path / "leaves"
        folder.mkdir()
        for name, level in splits.items():
            own = (labels or {}).get(name, [i % 2 for i in range(12)])
            rows = {"image": [{"bytes": png(level + i), "path": None} for i in range(12)], "label": own}
            features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)}
            rows |= dict.fromkeys(columns, own)
            split = datasets.Dataset.from_dict(rows, features=datasets.Features(features | columns))
            split.to_parquet(folder / f"{name}-00000-of-00001.parquet")
        return folder

    return written


def test_a_folder_of_parquet_is_read_by_its_splits(write: Write) -> None:
    source = open_source(f"hf:{write({'train': 10, 'validation': 100, 'test': 200})}", 0)
    assert source.name == "leaves"
    assert source.classes == ("oak", "fir")
    levels: dict[Part, int] = {"train": 10, "val": 100, "test": 200}
    for part, level in levels.items():
        samples = source.read(part, RULE)
        assert samples.images[:, 0, 0, 0].tolist() == list(range(level, level + 12))
        assert samples.labels.tolist() == source.labels(part).tolist() == [0, 1] * 6
    assert (source.whole("test", 5) == 205).all()
    assert source.contents("val").names[3] == "val 3"


def test_missing_splits_are_cut_from_the_training_images(write: Write) -> None:
    folder = write({"train": 10, "test": 200})
    first, again, other = (open_source(f"hf:{folder}", seed) for seed in (0, 0, 1))
    assert [len(first.labels(part)) for part in ("train", "val", "test")] == [10, 2, 12]
    assert first.fingerprint == again.fingerprint == other.fingerprint
    levels = [source.read("val", RULE).images[:, 0, 0, 0].tolist() for source in (first, again, other)]
    assert levels[0] == levels[1] != levels[2]
    keys = [set(first.contents(part).images.tolist()) for part in ("train", "val", "test")]
    assert len(keys[0] | keys[1] | keys[2]) == 24


def test_a_test_split_without_published_classes_is_not_used(write: Write) -> None:
    source = open_source(f"hf:{write({'train': 10, 'test': 200}, labels={'test': [-1] * 12})}", 0)
    assert sum(len(source.labels(part)) for part in ("train", "val", "test")) == 12


def test_images_without_a_class_are_counted(write: Write) -> None:
    with pytest.raises(DataError, match="2 of 12 images of its train split have no class"):
        open_source(f"hf:{write({'train': 10}, labels={'train': [0, -1, -1, *[1] * 9]})}", 0)


def test_of_several_columns_of_classes_one_is_named(write: Write) -> None:
    folder = write({"train": 10}, kind=datasets.ClassLabel(names=["broad", "needle"]))
    with pytest.raises(DataError, match=r"2 columns of classes \(label, kind\): choose one, as hf:.*#label"):
        open_source(f"hf:{folder}", 0)
    assert open_source(f"hf:{folder}#kind", 0).classes == ("broad", "needle")
    with pytest.raises(DataError, match="no column of classes called size; it has label, kind"):
        open_source(f"hf:{folder}#size", 0)


def test_an_image_folder_is_decoded_from_its_files(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for part in ("train", "test"):
        for name in CLASSES:
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(4):
                pixels = np.zeros((4, 6, 3), np.uint8)
                pixels[:2] = 20 * number + 20
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png", exif=exif)
    source = open_source(f"hf:{tmp_path}", 0)
    assert source.classes == ("fir", "oak")
    assert source.labels("test").tolist() == [0] * 4 + [1] * 4
    image = source.whole("test", 6)
    assert image.shape == (6, 4, 3)
    assert (image[:, 2:] == 60).all()


def test_a_saved_dictionary_is_loaded(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    rows = {"image": [{"bytes": png(i), "path": None} for i in range(8)], "label": [i % 2 for i in range(8)]}
    saved = datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows, features=features)})
    saved.save_to_disk(tmp_path / "saved")
    assert open_source(f"hf:{tmp_path / 'saved'}", 0).classes == ("oak", "fir")


def test_a_name_that_is_not_here_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot load 'nobody/nothing' \(HF_HUB_OFFLINE is set") as refused:
        open_source("hf:nobody/nothing", 0)
    assert "\n" not in str(refused.value)
    with pytest.raises(DataError, match="cannot load"):
        open_source(f"hf:{tmp_path / 'missing'}", 0)


def test_a_set_without_images_or_training_split_is_refused(tmp_path: Path, write: Write) -> None:
    table = datasets.Dataset.from_dict({"text": ["a"] * 4})
    (tmp_path / "texts").mkdir()
    table.to_parquet(tmp_path / "texts/train.parquet")
    with pytest.raises(DataError, match="needs one column of images; it has none among text"):
        open_source(f"hf:{tmp_path / 'texts'}", 0)
    with pytest.raises(DataError, match="no split called train; it has validation, test"):
        open_source(f"hf:{write({'validation': 0, 'test': 20})}", 0)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.delitem(sys.modules, "vitrail.data.hugging_face", raising=False)
    with pytest.raises(DataError, match=r"need pip install 'vitrail\[hf\]'"):
        open_source("hf:beans", 0)
