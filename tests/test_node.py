"""`examples/node`: in JavaScript, natively and as WebAssembly, a model file gives the outputs on its card."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
