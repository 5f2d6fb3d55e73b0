"""What was measured as a table that people read."""

from vitrail.bench.core.tables import interval_text, text_table
from vitrail.bench.infer.contenders import GraphFile
from vitrail.bench.infer.measure import OURS, Measured, Report

HEAD = ("", "images/s", "ms a batch", f"{OURS} is × as fast", "max |Δlogit|", "MB", "nodes", "opset", "takes")


def report_text(report: Report) -> str:
    """Head, one table a batch size, and who is missing and why."""
    parts = [head(report), *(table(measured, report) for measured in report.measured)]
    if report.absent:
        parts.append("\n".join(f"not measured: {each.name}: {each.reason}" for each in report.absent))
    return "\n\n".join([*parts, foot(report)])


def head(report: Report) -> str:
    machine, plan = report.machine, report.plan
    on = f"{machine.gpu}, " if machine.gpu else ""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return (
        f"{plan.name} at {plan.size}, {report.parameters:,} parameters of seed {plan.seed}, {report.classes} classes\n"
        f"{on}{machine.cpu}, {machine.cores} cores, {report.threads} threads, {machine.memory_gib} GiB\n"
        f"{report.date}\n"
        f"{versions}"
    )


def table(measured: Measured, report: Report) -> str:
    about = {each.name: each for each in report.contenders}
    rows = [
        (
            result.name,
            f"{result.images_per_second:.1f}",
            f"{result.milliseconds.value:.2f}",
            "1" if result.name == OURS else interval_text(result.speedup),
            f"{result.max_logit_error:.1e}",
            *of_file(about[result.name].file),
            about[result.name].takes,
        )
        for result in measured.results
    ]
    others = measured.background_load
    beside = "" if others is None else f", while other programs held {others:.1f} cores"
    share = measured.preprocessing
    within = "" if share is None else f"\npreprocessing takes {share:.1%} of {OURS}'s node time"
    return f"batch {measured.batch}{beside}\n{text_table([HEAD, *rows])}{within}"


def of_file(file: GraphFile | None) -> tuple[str, str, str]:
    return (f"{file.bytes / 1e6:.1f}", str(file.nodes), str(file.opset)) if file else ("", "", "")


def foot(report: Report) -> str:
    sure = report.measured[0].results[0].speedup.coverage
    return (
        f"Medians of {report.plan.rounds} rounds in which all take turns. Ratios are taken within a round; "
        f"their intervals hold the median with {sure:.1%}."
    )
