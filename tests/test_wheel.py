"""The built wheel and sdist: installed outside the checkout, vitrail fits a shipped recipe by name."""

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist beside it, and that from the files that git tracks or would add: leftovers cannot help."""
    checkout, built = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    packed = subprocess.run(
        ["tar", "-c", "--null", "-T-"], cwd=ROOT, input=names.encode(), capture_output=True, check=True
    )
    subprocess.run(["tar", "-x"], cwd=checkout, input=packed.stdout, check=True)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(built), str(checkout)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = built.glob("vitrail-*.whl")
    return path


def test_it_carries_every_package_and_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    for name in (
        "training/cli.py",
        "serving/page/index.html",
        "configs/digits-vit.yaml",
        "configs/study/digits.yaml",
        "py.typed",
        "cli.py",
    ):
        assert f"vitrail/{name}" in names
    assert not [name for name in names if not name.startswith(("vitrail/", "vitrail-"))]


def test_the_sdist_carries_what_the_wheel_is_built_from(wheel: Path) -> None:
    (sdist,) = wheel.parent.glob("vitrail-*.tar.gz")
    with tarfile.open(sdist) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/vitrail/cli.py", "src/vitrail/training/cli.py"} <= names


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> tuple[Path, Path]:
    """An environment, which sees the packages of this one but of vitrail only the wheel, and a folder elsewhere."""
    environment, folder = tmp_path / "environment", tmp_path / "elsewhere"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)
    site = printed(python, "import sysconfig; print(sysconfig.get_path('purelib'))", tmp_path)
    (Path(site) / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    folder.mkdir()
    assert printed(python, "import vitrail; print(vitrail.__file__)", folder).startswith(site)
    return environment, folder


def printed(python: Path, code: str, folder: Path) -> str:
    done = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, check=True, text=True)
    return done.stdout.strip()


def test_it_finds_a_recipe_by_name_outside_the_checkout(installed: tuple[Path, Path]) -> None:
    environment, folder = installed
    find = "from vitrail.training.recipes import find_recipe; print(find_recipe('digits-vit'))"
    recipe = Path(printed(environment / "bin/python", find, folder))
    assert recipe.is_relative_to(environment)
    assert recipe.is_file()
    listed = subprocess.run([environment / "bin/vitrail", "--help"], cwd=folder, capture_output=True, text=True)
    assert "train a ViT or a CNN" in listed.stdout, listed.stderr


@pytest.mark.long
def test_it_fits_a_recipe_by_name_outside_the_checkout(installed: tuple[Path, Path]) -> None:
    environment, folder = installed
    options = ["--config", "digits-vit", "--trainer.max_steps=5"]
    done = subprocess.run(
        [environment / "bin/vitrail", "fit", *options], cwd=folder, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "runs/digits-vit/checkpoints/best.ckpt").is_file()
