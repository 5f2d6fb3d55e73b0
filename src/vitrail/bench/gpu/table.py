"""Rows as lines of text."""

from vitrail.bench.gpu.plan import Figures, Row
from vitrail.bench.gpu.run import GpuReport

FORMS = {
    "images_per_second": "{:,.0f} images/s",
    "requests_per_second": "{:,.1f} requests/s",
    "tflops": "{:,.2f} TFLOP/s",
    "mfu": "{:.1%} of the ceiling",
    "accuracy": "accuracy {:.4f}",
    "accuracy_low": "[{:.4f},",
    "accuracy_high": "{:.4f}]",
    "ms": "{:.3f} ms",
    "ms_low": "[{:.3f},",
    "ms_high": "{:.3f}]",
    "p50_ms": "p50 {:.1f} ms",
    "p99_ms": "p99 {:.1f} ms",
    "cpu_ms": "{:.2f} ms of CPU",
    "requests_failed": "{:.0f} failed",
    "speedup_over_torch_compile": "{:.2f} × torch.compile",
    "of_resident": "{:.3f} × one resident batch",
    "of_resident_low": "[{:.3f},",
    "of_resident_high": "{:.3f}]",
    "workers": "{:.0f} workers",
    "max_logit_error": "max |Δlogit| {:.1e}",
    "seconds": "{:.1f} s",
    "peak_gib": "peak {:.2f} GiB",
    "held_gib": "uses {:.2f} GiB",
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


def head(report: GpuReport) -> str:
    return f"{report.header(f'at most {report.plan.minutes:g} minutes')}\n"


def line(row: Row) -> str:
    part, name = row.part.ljust(WIDTHS[0]), row.name.ljust(WIDTHS[1])
    figures = figures_text(row.figures)
    text = figures if row.status == "measured" else ": ".join(filter(None, (row.status, row.reason or figures)))
    return f"{part}{name} {text}".rstrip()


def figures_text(figures: Figures) -> str:
    return " ".join(FORMS[name].format(value) for name, value in figures.items())


def foot(report: GpuReport) -> str:
    counts = {status: sum(row.status == status for row in report.rows) for status in ("failed", "not run", "absent")}
    missing = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"\n{len(report.rows)} rows in {report.minutes:.1f} minutes{f': {missing}' if missing else ''}"
