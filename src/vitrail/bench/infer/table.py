"""The report as text."""

from vitrail.bench.core.report import absent_text
from vitrail.bench.core.tables import background_text, interval_text, rounds_text, text_table
from vitrail.bench.infer.contenders import GraphFile
from vitrail.bench.infer.measure import OURS, BatchResults, InferReport

HEAD = ("", "images/s", "ms a batch", f"{OURS} is × as fast", "max |Δlogit|", "MB", "nodes", "opset", "takes")


def report_text(report: InferReport) -> str:
    """Header, one table a batch size, and absent contenders with the reason."""
    parts = [header(report), *(table(measured, report) for measured in report.measured)]
    if report.absent:
        parts.append(absent_text(report.absent))
    coverage = report.measured[0].results[0].speedup.coverage
    return "\n\n".join([*parts, rounds_text(report.plan.rounds, coverage)])


def header(report: InferReport) -> str:
    plan = report.plan
    return report.header(
        f"{plan.name} at {plan.size}, {report.parameters:,} parameters of seed {plan.seed}, {report.classes} classes",
        cores=f"cores, {report.threads} threads",
    )


def table(measured: BatchResults, report: InferReport) -> str:
    contenders = {each.name: each for each in report.contenders}
    rows = [
        (
            result.name,
            f"{result.images_per_second:.1f}",
            f"{result.milliseconds.value:.2f}",
            "1" if result.name == OURS else interval_text(result.speedup),
            f"{result.max_logit_error:.1e}",
            *file_cells(contenders[result.name].file),
            contenders[result.name].takes,
        )
        for result in measured.results
    ]
    share = measured.preprocessing
    footer = "" if share is None else f"\npreprocessing takes {share:.1%} of {OURS}'s node time"
    return f"batch {measured.batch}{background_text(measured.background_load)}\n{text_table([HEAD, *rows])}{footer}"


def file_cells(file: GraphFile | None) -> tuple[str, str, str]:
    return (f"{file.bytes / 1e6:.1f}", str(file.nodes), str(file.opset)) if file else ("", "", "")
