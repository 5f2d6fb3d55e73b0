"""`vitrail bento`: what it packs serves where neither vitrail nor torch was ever installed."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution, metadata
from pathlib import Path
from typing import Any

import httpx
import onnxruntime
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from PIL import Image

from vitrail.cli import main
from vitrail.commands.bento import installed_version, requirements, stage
from vitrail.errors import VitrailError
from vitrail.images.golden import mosaic
from vitrail.model_file.classifier import Classifier
from vitrail.serving.settings import model_name

from ..servers import Start


@pytest.fixture(scope="module")
def bento(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a new Bento in a store of its own."""
    return packed(model_file, "cpu", tmp_path_factory.mktemp("bentoml"))


@pytest.fixture(scope="module")
def gpu_bento(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if Version(onnxruntime.__version__) < Version("1.28"):
        pytest.skip("the lowest version of [gpu] is above this one of [cpu]")
    return packed(model_file, "gpu", tmp_path_factory.mktemp("bentoml"))


def packed(model_file: Path, runtime: str, home: Path) -> Path:
    command = [sys.executable, "-m", "vitrail", "bento", str(model_file), "--runtime", runtime]
    done = subprocess.run(
        command, env={**os.environ, "BENTOML_HOME": str(home)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    name, _, number = done.stdout.strip().partition(":")
    assert name == f"vitrail-{model_name(Classifier(model_file, 'cpu').card)}"
    return home / "bentos" / name / number


@pytest.fixture(scope="module")
def photo() -> bytes:
    file = io.BytesIO()
    Image.fromarray(mosaic(4, 1, 60, 80)).save(file, "PNG")
    return file.getvalue()


def pins(bento: Path) -> dict[str, str]:
    lines = (bento / "env" / "python" / "requirements.txt").read_text().split()
    return {name: version for name, _, version in (line.partition("==") for line in lines)}


def test_bento_contains_model_package_and_pins(bento: Path, model_file: Path) -> None:
    assert (bento / "src" / "model.onnx").read_bytes() == model_file.read_bytes()
    assert (bento / "src" / "vitrail" / "serving" / "page" / "index.html").is_file()
    assert not [path for path in bento.rglob("*") if path.is_symlink()]
    requirements = pins(bento)
    assert {"bentoml", "numpy", "pillow", "starlette", "onnxruntime"} <= set(requirements)
    assert not [name for name in requirements if name.startswith(("torch", "timm", "pytorch", "onnxruntime-gpu"))]
    assert all(requirements.values())


def manifest(bento: Path) -> dict[str, Any]:
    """The parts that BentoML and deployments read: the entry service's configuration, and the environment."""
    content = yaml.safe_load((bento / "bento.yaml").read_text())
    (service,) = content["services"]
    return {"config": service["config"], "envs": {each["name"]: each["value"] for each in content.get("envs", [])}}


def test_gpu_bento_installs_cuda_and_declares_a_gpu(bento: Path, gpu_bento: Path) -> None:
    requirements = pins(gpu_bento)
    on_cpu = pins(bento)
    assert requirements.pop("onnxruntime-gpu[cuda,cudnn]") == on_cpu.pop("onnxruntime")
    assert "onnx" in requirements  # cuts the graph that is captured
    assert {name: pin for name, pin in requirements.items() if name != "onnx"} == on_cpu

    about = manifest(gpu_bento)
    assert about["config"]["resources"] == {"gpu": 1}
    assert about["envs"] == {"VITRAIL_PROVIDER": "cuda"}
    assert "VITRAIL_PROVIDER=cuda" in (gpu_bento / "env" / "docker" / "Dockerfile").read_text()
    without = manifest(bento)
    assert "resources" not in without["config"]
    assert without["envs"] == {}


def test_the_dockerfile_of_containerize_finds_all_that_it_copies_and_runs(bento: Path) -> None:
    """`bentoml containerize` hands the Bento to Docker; this follows the Dockerfile without it."""
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?:--\S+ )*(\S+) \S+$", dockerfile, re.MULTILINE)
    assert "." in copied
    assert all((bento / source).exists() for source in copied)
    (python,) = re.findall(r"^FROM python:([\d.]+)-slim", dockerfile, re.MULTILINE)
    assert SpecifierSet(metadata("vitrail")["Requires-Python"]).contains(python)
    (requirements,) = re.findall(r"pip install -r \$BENTO_PATH/(\S+)$", dockerfile, re.MULTILINE)
    assert all(Requirement(line) for line in (bento / requirements).read_text().splitlines())
    entry = bento / "env" / "docker" / "entrypoint.sh"
    assert f'ENTRYPOINT [ "/home/bentoml/bento/{entry.relative_to(bento)}" ]' in dockerfile
    assert subprocess.run(["bash", "-n", entry], check=False).returncode == 0


def serve(bento: Path) -> list[str]:
    return [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", "{port}"]


def test_gpu_bento_does_not_start_without_a_gpu(start: Start, gpu_bento: Path) -> None:
    with start(serve(gpu_bento), ready=False, CUDA_VISIBLE_DEVICES="-1") as server:
        assert server.process.wait(60) == 1
        (line,) = [line for line in server.read_log().splitlines() if "packed for a GPU" in line]
        assert "provider 'cuda' was requested, but" in line
        assert "Set VITRAIL_PROVIDER=cpu (or auto) to serve it on the CPU" in line
        assert "Traceback" not in server.read_log()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/livez")


def test_gpu_bento_serves_on_the_cpu_if_requested(start: Start, gpu_bento: Path, photo: bytes) -> None:
    with start(serve(gpu_bento), CUDA_VISIBLE_DEVICES="-1", VITRAIL_PROVIDER="auto") as server:
        ready = httpx.get(f"{server.url}/readyz").json()
        assert ready["provider"] == "CPUExecutionProvider"
        assert ready["reason"] == "provider 'auto' found no GPU that onnxruntime can use"
        assert httpx.post(f"{server.url}/v1/classify", files={"image": photo}).status_code == 200


DECLARED = [
    "numpy>=1.26",
    'onnxruntime>=1.23; extra == "cpu"',
    'onnxruntime-gpu[cudnn,cuda]>=1.28; extra == "gpu"',
    'tensorrt-cu13<11,>=10; extra == "tensorrt"',
    'uvloop>=0.21; (sys_platform == "linux" or sys_platform == "darwin") and extra == "serve"',
    'colorama>=0.4; sys_platform == "win32" and extra == "serve"',
    'torch>=2.11; extra == "train"',
]


def test_requirements_keep_their_extras_and_conditions() -> None:
    known = {"numpy": "2.4.6", "onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1", "uvloop": "0.23.0"}
    always = [
        "numpy==2.4.6",
        'uvloop==0.23.0; (sys_platform == "linux" or sys_platform == "darwin")',
    ]
    assert set(requirements(DECLARED, ("serve", "cpu"), known.get)) == {*always, "onnxruntime==1.31.1"}
    gpu = "onnxruntime-gpu[cuda,cudnn]==1.31.1"
    assert set(requirements(DECLARED, ("serve", "gpu"), known.get)) == {*always, gpu}
    with_tensorrt = set(requirements(DECLARED, ("serve", "gpu", "tensorrt"), known.get))
    assert with_tensorrt == {*always, gpu, "tensorrt-cu13<11,>=10"}


@pytest.mark.parametrize(
    ("options", "service", "note"),
    [
        (["--runtime", "cpu"], "vitrail.serving.service:Vitrail", ""),
        (["--runtime", "openvino"], "vitrail.serving.service:Vitrail", ""),
        (["--runtime", "tensorrt"], "vitrail.serving.gpu_service:Vitrail", ""),
        ([], "vitrail.serving.gpu_service:Vitrail", "packing for a GPU, since onnxruntime-gpu is installed here"),
    ],
)
def test_requirements_follow_the_runtime_option(
    options: list[str],
    service: str,
    note: str,
    model_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By default the installed wheel decides, with a note if the Bento will need a GPU."""
    seen: dict[str, Any] = {}

    def build(folder: Path) -> str:
        seen.update(yaml.safe_load((folder / "bentofile.yaml").read_text()))
        return "tag"

    monkeypatch.setattr("vitrail.commands.bento.installed_runtime", lambda: "gpu")
    monkeypatch.setattr("vitrail.commands.bento.build", build)
    monkeypatch.setattr("vitrail.commands.bento.installed_version", lambda name: None)
    assert main(["bento", str(model_file), *options]) == 0
    out, err = capsys.readouterr()
    assert (out, seen["service"]) == ("tag\n", service)
    assert (note in err) if note else not err
    tensorrt = [each for each in seen["python"]["packages"] if each.startswith("tensorrt")]
    assert tensorrt == (["tensorrt-cu13<11,>=10"] if "tensorrt" in options else [])


def test_too_old_version_is_refused() -> None:
    """A CPU wheel may be older than the GPU wheel that is packed at its version: its extras would be CUDA 12's."""
    with pytest.raises(VitrailError, match=r"needs onnxruntime-gpu>=1.28, but 1.25.1 is installed here"):
        list(requirements(DECLARED, ("gpu",), lambda name: "1.25.1" if name == "onnxruntime-gpu" else "2"))


def test_wheel_is_pinned_to_the_installed_version() -> None:
    assert installed_version("onnxruntime") == installed_version("onnxruntime-gpu") == onnxruntime.__version__
    assert installed_version("no-such-package") is None


def test_missing_model_is_a_one_line_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vitrail", "bento", "none.onnx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "vitrail: there is no model file at none.onnx\n")


@pytest.fixture(scope="module", params=["linked", pytest.param("installed", marks=pytest.mark.long)])
def fresh_python(request: pytest.FixtureRequest, bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with only the Bento's requirements: links to this environment's packages, or from PyPI."""
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
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
    probe = [
        *pip,
        "--retries",
        "0",
        "--timeout",
        "10",
        "download",
        "--no-deps",
        "-d",
        str(folder / "probe"),
        "starlette",
    ]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("PyPI cannot be reached, so no fresh environment can be made")
    subprocess.run([*pip, "install", "-r", str(requirements)], check=True)
    return python


def required(lines: Iterable[str]) -> list[Distribution]:
    """The installed distributions that pip would install for these requirements."""
    needed: dict[tuple[str, str], Distribution] = {}
    waiting = [Requirement(line) for line in lines]
    while waiting:
        one = waiting.pop()
        for extra in ("", *one.extras):
            if (one.name, extra) in needed:
                continue
            package = needed[one.name, extra] = installed(one.name)
            needs = [Requirement(text) for text in package.requires or []]
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return list(needed.values())


def installed(name: str) -> Distribution:
    """The installed distribution; for onnxruntime also its GPU wheel, which has the same module and runs on CPUs."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        assert name == "onnxruntime"
        return distribution("onnxruntime-gpu")


def entries_of(packages: Iterable[Distribution]) -> set[Path]:
    """The folders and files of these packages in the environment's `site-packages`."""
    tops = {package.locate_file(file.parts[0]) for package in packages for file in package.files or []}
    return {Path(str(top)) for top in tops if Path(str(top)).name not in ("..", "__pycache__")}


def test_bento_serves_in_a_fresh_environment(
    start: Start, bento: Path, fresh_python: Path, model_file: Path, photo: bytes
) -> None:
    code = "import importlib.util as u; print([n for n in ('torch', 'vitrail') if u.find_spec(n)])"
    done = subprocess.run([fresh_python, "-c", code], cwd=bento.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

    command = [str(fresh_python), "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", "{port}"]
    model = Classifier(model_file, "cpu")
    with start(command) as server:
        response = httpx.post(f"{server.url}/v1/classify", files={"image": photo}).json()
        assert response["model"]["sha256"] == model.sha256
        labels = [(label["label"], label["probability"]) for label in response["predictions"][0]["labels"]]
        expected = [(label.label, pytest.approx(label.probability, abs=1e-5)) for label in model.classify(photo)]
        assert labels == expected
        server.family()[1].kill()
        while "has ended; another starts" not in server.read_log():  # at once, by our arbiter
            assert server.process.poll() is None
            time.sleep(0.05)
        assert server.stop() == 0


def test_store_puts_the_file_into_the_model_store_once(model_file: Path, tmp_path: Path) -> None:
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


def test_explain_file_is_staged_if_it_exists(model_file: Path, tmp_path: Path) -> None:
    explained, with_one, without = tmp_path / "explained", tmp_path / "with", tmp_path / "without"
    explained.mkdir()
    shutil.copyfile(model_file, explained / "model.onnx")
    (explained / "model.explain.onnx").write_bytes(b"the second graph")
    stage(Classifier(explained / "model.onnx", "cpu"), "cpu", with_one)
    stage(Classifier(model_file, "cpu"), "cpu", without)
    assert (with_one / "model.explain.onnx").read_bytes() == b"the second graph"
    assert [path.name for path in without.glob("*.onnx")] == ["model.onnx"]
