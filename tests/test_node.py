"""`examples/node`: in JavaScript, natively and as WebAssembly, a model file gives the outputs on its card."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitrail.images.patches import grid_within

EXAMPLE = Path(__file__).parent.parent / "examples" / "node"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None or not (EXAMPLE / "node_modules").exists(),
    reason="needs Node and `npm install --prefix examples/node`",
)


def verify(*options: str) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    return subprocess.run([NODE, EXAMPLE / "verify.mjs", *options], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("options", "library"), [([], "onnxruntime-node"), (["--wasm"], "onnxruntime-web")], ids=["native", "wasm"]
)
def test_outputs_in_node_equal_those_of_the_export(options: list[str], library: str, model_file: Path) -> None:
    done = verify(str(model_file), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"verified with {library} ")
    (off,) = re.findall(r"^logits: off by (\S+),", done.stdout, re.MULTILINE)
    assert float(off) < 1e-4


@pytest.mark.parametrize("options", [[], ["--wasm"]], ids=["native", "wasm"])
def test_images_at_their_own_shapes_give_the_same_in_node(options: list[str], native_file: Path) -> None:
    done = verify(str(native_file), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("image ") == 4


def test_node_chooses_the_grids_that_python_chooses(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sides = np.exp(random.uniform(0, 8, (2000, 2))).astype(int).tolist()
    expected = [grid_within((width, height), most) for width, height in sides for most in (1, 9, 64, 196)]
    source = (EXAMPLE / "verify.mjs").read_text()
    rule = source[source.index("function gridWithin") : source.index("/** The inputs of the file")]
    grids = "sides.flatMap(([width, height]) => [1, 9, 64, 196].map((most) => gridWithin(width, height, most)))"
    script = tmp_path / "grids.mjs"
    script.write_text(f"{rule}\nconst sides = {sides};\nconsole.log(JSON.stringify({grids}));")
    assert NODE is not None
    done = subprocess.run([NODE, script], capture_output=True, text=True, check=True)
    assert [tuple(grid) for grid in json.loads(done.stdout)] == expected


def test_a_changed_output_is_detected(edited: Callable[..., Path]) -> None:
    def change(card: dict[str, Any]) -> None:
        card["golden"]["logits"][4][7] += 0.01

    done = verify(str(edited(change)))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("DIFFERS with onnxruntime-node ")
    assert "logits: off by 1.00e-2" in done.stdout


def test_a_file_without_a_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"\x08\x0a")  # a ModelProto that has its IR version alone
    done = verify(str(tmp_path / "other.onnx"))
    assert done.returncode == 1
    assert "this file has no vitrail card" in done.stderr
