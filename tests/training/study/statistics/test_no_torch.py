"""The statistics of a study need neither torch nor Lightning: a report is made where no network can run."""

import subprocess
import sys


def test_no_torch_is_loaded() -> None:
    program = (
        "import sys\n"
        "from vitrail.training.study.statistics import forecast, recommendation, stop_seeds, stop_sizes\n"
        "print({'torch', 'pytorch_lightning', 'sklearn', 'PIL'} & sys.modules.keys())"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout == "set()\n"
