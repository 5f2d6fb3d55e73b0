"""The statistics of a study import neither torch nor Lightning."""

import subprocess
import sys


def test_statistics_import_no_torch() -> None:
    program = (
        "import sys\n"
        "from vitrail.training.study.statistics import forecast, recommendation, stopping\n"
        "print({'torch', 'pytorch_lightning', 'sklearn', 'PIL'} & sys.modules.keys())"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert output.stdout == "set()\n"
