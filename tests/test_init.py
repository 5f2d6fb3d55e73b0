"""`import vitrail`: every public name, and none of them imported before it is used."""

import subprocess
import sys

import vitrail
from vitrail.exporting import export


def test_import_loads_nothing_heavy() -> None:
    code = "import sys, vitrail; print({'torch', 'onnxruntime', 'numpy', 'PIL'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_all_names_resolve() -> None:
    assert all(getattr(vitrail, name) is not None for name in vitrail.__all__)
    assert vitrail.export is export
