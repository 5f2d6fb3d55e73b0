"""Shared fixtures: a small trained network and its model file."""

import gc
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .chromium import OpenPage, Tab
    from .servers import Start


# What torch.onnx reads of its 500 operators at each export.
READ_ONCE = {
    "onnxscript._framework_apis.torch_": "get_torchlib_ops",
    "torch.onnx._internal.exporter._schemas": "op_signature_from_function",
}


def pytest_runtest_setup() -> None:
    """Let torch.onnx read its operators once. Nothing is imported for that; it begins with the test after the first
    that exports.
    """
    for name, module in list(sys.modules.items()):
        for prefix, function in READ_ONCE.items():
            read = getattr(module, function, None) if name.startswith(prefix) else None
            if read is not None and not hasattr(read, "cache_info"):
                setattr(module, function, cache(read))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Leave what is imported out of garbage collection, from file to file: exports create millions of objects, and each
    full collection walks the modules of torch, a twelfth of the time of tests that export.
    """
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is kept in the user's cache folder, except for the fonts of matplotlib, which take seconds to list."""
    fonts = os.environ.get("MPLCONFIGDIR", str(Path.home() / ".cache/matplotlib"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", fonts)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded images are kept, whatever else takes the disk of this machine."""
    from vitrail.data import image_store

    monkeypatch.setattr(image_store, "usable_bytes", lambda folder: 2**40)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder of this name that all processes of pytest share; the first to need it fills it."""
    import fcntl

    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder(name: str, fill: Callable[[Path], None]) -> Path:
        path = shared / "once" / name
        path.parent.mkdir(exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                draft = path.with_suffix(".draft")
                shutil.rmtree(draft, ignore_errors=True)  # of one that failed
                draft.mkdir()
                fill(draft)
                draft.rename(path)
        return path

    return folder


@pytest.fixture(scope="session")
def digits_folder(
    made_once: Callable[[str, Callable[[Path], None]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """This process's copy of a digits CNN, trained by the real command: its run and its `model.onnx`."""
    from vitrail.cli import main

    steps = ["--trainer.max_steps=100", "--trainer.val_check_interval=50"]

    def fill(folder: Path) -> None:
        assert main(["fit", "--config", "digits-cnn", f"--run={folder / 'run'}", *steps]) == 0
        checkpoint = folder / "run/checkpoints/best.ckpt"
        assert main(["export", f"--checkpoint={checkpoint}", f"--output={folder / 'model.onnx'}"]) == 0

    own = tmp_path_factory.mktemp("digits") / "copy"
    shutil.copytree(made_once("digits", fill), own)
    return own


@pytest.fixture(scope="session")
def run_directory(digits_folder: Path) -> Path:
    return digits_folder / "run"


@pytest.fixture(scope="session")
def task_folder(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Callable[[str], Path]:
    """For each task other than classification: a run in `run`, briefly trained, and its `model.onnx`."""
    from vitrail.cli import main

    few = ["--trainer.max_steps=30", "--trainer.val_check_interval=30", "--data.images=300", "--model.net.depth=1"]

    def fill(task: str, folder: Path) -> None:
        assert main(["fit", "--config", f"digits-{task}", f"--run={folder / 'run'}", *few]) == 0
        checkpoint = folder / "run/checkpoints/best.ckpt"
        assert main(["export", f"--checkpoint={checkpoint}", f"--output={folder / 'model.onnx'}"]) == 0

    return lambda task: made_once(task, partial(fill, task))


@pytest.fixture(scope="session")
def native_file(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A model of images at their own shapes, as it begins."""
    from vitrail.cli import main

    native = ["--data.resize=native", "--data.patch=2", "--model.mixup=0", "--model.net.depth=1"]
    steps = ["--trainer.max_steps=2", "--trainer.val_check_interval=2"]

    def fill(folder: Path) -> None:
        assert main(["fit", "--config=digits-vit", f"--run={folder / 'run'}", *native, *steps]) == 0
        checkpoint = folder / "run/checkpoints/best.ckpt"
        assert main(["export", f"--checkpoint={checkpoint}", f"--output={folder / 'model.onnx'}"]) == 0

    return made_once("native-digits", fill) / "model.onnx"


@pytest.fixture(scope="session")
def checkpoint(run_directory: Path) -> Path:
    return run_directory / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="session")
def model_file(digits_folder: Path) -> Path:
    """The network of `digits_folder` as a model file, alone in its folder: classes "0" to "9", canvas 8."""
    path = digits_folder / "file/model.onnx"
    path.parent.mkdir()
    return (digits_folder / "model.onnx").rename(path)


@pytest.fixture
def edited(model_file: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """The model file with its card changed, and sealed again."""
    import onnx

    from vitrail.model_file.card import METADATA_KEY
    from vitrail.model_file.seal import seal

    def edit(change: Callable[[dict[str, Any]], None]) -> Path:
        content = onnx.load(model_file)
        (card,) = (json.loads(entry.value) for entry in content.metadata_props if entry.key == METADATA_KEY)
        change(card)
        del content.metadata_props[:]
        onnx.helper.set_model_props(content, {METADATA_KEY: json.dumps(card)})
        path = tmp_path / "edited.onnx"
        path.write_bytes(seal(content.SerializeToString()))
        return path

    return edit


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> "Start":
    """Starts a command that serves, and stops it."""
    from .servers import started

    return lambda *args, **options: started(tmp_path_factory.mktemp("server"), *args, **options)


@pytest.fixture
def open_page(tmp_path: Path) -> "OpenPage":
    """Opens an address in Chromium and runs a scenario there."""
    import asyncio

    from .chromium import opened

    def open_url(url: str, scenario: Callable[["Tab"], Awaitable[None]]) -> None:
        async def run() -> None:
            async with opened(url, tmp_path / "profile") as tab:
                await scenario(tab)

        asyncio.run(run())

    return open_url
