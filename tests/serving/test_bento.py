"""`vitrail bento`: what it packs serves where neither vitrail nor torch was ever installed."""

import os
import subprocess
import sys
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import httpx
import pytest
import yaml
from packaging.requirements import Requirement

from vitrail.classifier import Classifier
from vitrail.commands.bento import stage
from vitrail.explainer import Explainer
from vitrail.serving.naming import model_name


@pytest.fixture(scope="module")
def bento(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a new Bento in a store of its own."""
    home = tmp_path_factory.mktemp("bentoml")
    command = [sys.executable, "-m", "vitrail", "bento", str(model_file), "--runtime", "cpu"]
    done = subprocess.run(
        command, env={**os.environ, "BENTOML_HOME": str(home)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    name, _, version = done.stdout.strip().partition(":")
    assert name == f"vitrail-{model_name(Classifier(model_file, 'cpu').card)}"
    return home / "bentos" / name / version


@pytest.fixture(scope="module")
def requirements(bento: Path) -> dict[str, str]:
    lines = (bento / "env" / "python" / "requirements.txt").read_text().split()
    return {name: version for name, _, version in (line.partition("==") for line in lines)}


def test_it_carries_the_model_the_package_and_pins(bento, requirements, model_file):
    assert (bento / "src" / "model.onnx").read_bytes() == model_file.read_bytes()
    assert (bento / "src" / "vitrail" / "serving" / "page" / "index.html").is_file()
    assert not [path for path in bento.rglob("*") if path.is_symlink()]
    assert {"bentoml", "numpy", "pillow", "starlette", "onnxruntime"} <= set(requirements)
    assert not {"torch", "timm", "pytorch-lightning", "onnxruntime-gpu"} & set(requirements)
    assert all(requirements.values())


def test_a_missing_model_is_one_line(tmp_path):
    command = [sys.executable, "-m", "vitrail", "bento", "none.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "vitrail: there is no model file at none.onnx\n")


@pytest.fixture(scope="module", params=["linked", pytest.param("installed", marks=pytest.mark.long)])
def fresh_python(request: pytest.FixtureRequest, bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the Bento's requirements and nothing else: of this one's packages, or of PyPI's."""
    folder = tmp_path_factory.mktemp("fresh")
    requirements = bento / "env" / "python" / "requirements.txt"
    python = folder / "bin" / "python"
    if request.param == "linked":
        venv.create(folder)
        (site,) = folder.glob("lib/python*/site-packages")
        for entry in entries_of(required(requirements.read_text().splitlines())):
            (site / entry.name).symlink_to(entry)
        return python
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "-q"]
    probe = [*pip, "--retries", "0", "--timeout", "10", "download", "--no-deps", "-d", folder / "probe", "starlette"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("PyPI cannot be reached, so no fresh environment can be made")
    subprocess.run([*pip, "install", "-r", requirements], check=True)
    return python


def required(lines: Iterable[str]) -> list[Distribution]:
    """What pip would install for these requirements, of what is installed here."""
    found: dict[tuple[str, str], Distribution] = {}
    waiting = [Requirement(line) for line in lines]
    while waiting:
        one = waiting.pop()
        for extra in ("", *one.extras):
            if (one.name, extra) in found:
                continue
            package = found[one.name, extra] = installed(one.name)
            needs = [Requirement(text) for text in package.requires or []]
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return list(found.values())


def installed(name: str) -> Distribution:
    """The package; instead of the CPU's wheel of onnxruntime its GPU's, which has the same module and runs on CPUs."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        assert name == "onnxruntime"
        return distribution("onnxruntime-gpu")


def entries_of(packages: Iterable[Distribution]) -> set[Path]:
    """The folders and files of these packages in the environment's `site-packages`."""
    tops = {package.locate_file(file.parts[0]) for package in packages for file in package.files or []}
    return {Path(str(top)) for top in tops if Path(str(top)).name not in ("..", "__pycache__")}


def test_it_serves_in_a_fresh_environment(start, bento, fresh_python, model_file, encode):
    code = "import importlib.util as u; print([n for n in ('torch', 'vitrail') if u.find_spec(n)])"
    found = subprocess.run([fresh_python, "-c", code], cwd=bento.parent, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

    command = [str(fresh_python), "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", "{port}"]
    model = Classifier(model_file, "cpu")
    with start(command) as server:
        answer = httpx.post(f"{server.url}/v1/classify", files={"image": encode()}).json()
        assert answer["model"]["sha256"] == model.sha256
        labels = [(label["label"], label["probability"]) for label in answer["predictions"][0]["labels"]]
        expected = [(label.label, pytest.approx(label.probability, abs=1e-5)) for label in model.classify(encode())]
        assert labels == expected
        assert server.stop() == 0


def test_store_puts_the_file_into_the_model_store_once(model_file, tmp_path):
    command = [sys.executable, "-m", "vitrail", "bento", str(model_file), "--store"]
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path)}
    tags = [
        subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout.strip()
        for _ in range(2)
    ]
    model = Classifier(model_file, "cpu")
    assert tags == [f"{model_name(model.card)}:{model.sha256[:16]}"] * 2
    (stored,) = tmp_path.glob("models/*/*/model.onnx")
    assert stored.read_bytes() == model_file.read_bytes()
    about = yaml.safe_load((stored.parent / "model.yaml").read_text())
    assert about["labels"]["sha256"] == model.sha256[:63]
    assert about["metadata"]["sha256"] == model.sha256


def test_what_is_staged_has_the_explain_file_where_there_is_one(explained_file, model_file, tmp_path):
    with_one, without = tmp_path / "with", tmp_path / "without"
    stage(Classifier(explained_file, "cpu"), "cpu", with_one)
    stage(Classifier(model_file, "cpu"), "cpu", without)
    assert Explainer(Classifier(with_one / "model.onnx", "cpu"), provider="cpu").path == with_one / "model.explain.onnx"
    assert [path.name for path in without.glob("*.onnx")] == ["model.onnx"]
