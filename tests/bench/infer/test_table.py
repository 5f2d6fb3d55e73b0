"""The table: every figure in its place."""

from vitrail.bench.core.machine import Machine
from vitrail.bench.core.report import Absent
from vitrail.bench.core.rounds import MedianInterval
from vitrail.bench.infer.contenders import GraphFile
from vitrail.bench.infer.measure import BatchResults, ContenderInfo, InferReport, Plan, Result
from vitrail.bench.infer.table import report_text


def result(name: str, milliseconds: float, ratio: MedianInterval) -> Result:
    return Result(name, MedianInterval(milliseconds, 0, 0, 0.984), 2000 / milliseconds, 1.23e-6, ratio)


def test_report_has_machine_results_and_absent_contenders() -> None:
    rounds = {"vitrail": [0.01] * 7, "rival": [0.02] * 7}
    text = report_text(
        InferReport(
            plan=Plan(batches=(2,)),
            threads=2,
            classes=1000,
            parameters=5_717_416,
            machine=Machine("a cpu (avx2)", 4, 15.5, "Linux", None),
            versions={"python": "3.11", "torch": "2.15.0"},
            peers={},
            date="2026-11-21T10:00:00+00:00",
            contenders=(
                ContenderInfo("vitrail", "canvases", GraphFile(23_400_000, 463, 20, 5.0)),
                ContenderInfo("rival", "pixels", None),
            ),
            absent=(Absent("stranger", "not installed"),),
            measured=(
                BatchResults(
                    2,
                    0.26,
                    0.0142,
                    (
                        result("vitrail", 10, MedianInterval(1, 1, 1, 0.984)),
                        result("rival", 20, MedianInterval(2, 1.9, 2.125, 0.984)),
                    ),
                    rounds,
                ),
            ),
        )
    )
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "vit_tiny_patch16_224 at 224, 5,717,416 parameters of seed 0, 1000 classes" in lines
    assert "a cpu (avx2), 4 cores, 2 threads, 15.5 GiB" in lines
    assert "2026-11-21T10:00:00+00:00" in lines
    assert "batch 2, background load 0.3 cores" in lines
    assert "preprocessing takes 1.4% of vitrail's node time" in lines
    assert "vitrail 200.0 10.00 1 1.2e-06 23.4 463 20 canvases" in lines
    assert "rival 100.0 20.00 2.000 [1.900, 2.125] 1.2e-06 pixels" in lines
    assert "not measured: stranger: not installed" in lines
    assert lines[-1].endswith("their intervals contain the median with 98.4%.")
