"""Rows as lines that people read, one by one as they come."""

from vitrail.bench.gpu.plan import Figures, Row
from vitrail.bench.gpu.run import Report

FORMS = {
    "images_per_second": "{:,.0f} images/s",
    "requests_per_second": "{:,.1f} requests/s",
    "tflops": "{:,.2f} TFLOP/s",
    "mfu": "{:.1%} of the ceiling",
    "ms": "{:.3f} ms",
    "ms_low": "[{:.3f},",
    "ms_high": "{:.3f}]",
    "p50_ms": "p50 {:.1f} ms",
    "p99_ms": "p99 {:.1f} ms",
    "cpu_ms": "{:.2f} ms of CPU",
    "requests_failed": "{:.0f} failed",
    "times_torch_compile": "{:.2f} × torch.compile",
    "max_logit_error": "max |Δlogit| {:.1e}",
    "seconds": "{:.1f} s",
    "peak_gib": "peak {:.2f} GiB",
    "held_gib": "holds {:.2f} GiB",
    "memory_gib": "{:.1f} GiB",
    "multiprocessors": "{:.0f} multiprocessors",
    "compute_capability": "compute capability {:.1f}",
    "torch_cuda": "CUDA {:.1f} of torch",
    "driver": "driver {:.2f}",
    "sm_mhz": "{:.0f} MHz now",
    "most_sm_mhz": "{:.0f} MHz at most",
    "power_limit_w": "{:.0f} W",
}
WIDTHS = (7, 54)  # of part and name


def head(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB\n{report.date}, at most "
        f"{report.plan.minutes:g} minutes\n{versions}\n"
    )


def line(row: Row) -> str:
    part, name = row.part.ljust(WIDTHS[0]), row.name.ljust(WIDTHS[1])
    said = figures_text(row.figures)
    what = said if row.status == "measured" else ": ".join(filter(None, (row.status, row.reason or said)))
    return f"{part}{name} {what}".rstrip()


def figures_text(figures: Figures) -> str:
    return " ".join(FORMS[name].format(value) for name, value in figures.items())


def foot(report: Report) -> str:
    counts = {status: sum(row.status == status for row in report.rows) for status in ("failed", "not run", "absent")}
    missing = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"\n{len(report.rows)} rows in {report.minutes:.1f} minutes{f': {missing}' if missing else ''}"
