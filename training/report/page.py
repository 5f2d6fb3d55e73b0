"""report.html, one self-contained file: after `vitrail fit` of the training alone, after `vitrail test` of both."""

from pathlib import Path

from vitrail.atomic import write_atomically
from vitrail.data.check.text import printable
from vitrail.plots.blocks import contents, header, section
from vitrail.plots.document import document
from vitrail.plots.formatting import count
from vitrail.plots.markup import with_code
from vitrail.tasks.classification.report import ClassificationReport
from vitrail.tasks.task import Evaluation
from vitrail.training.report import tested as of_test
from vitrail.training.report import trained as of_training
from vitrail.training.report.run_files import RunFiles
from vitrail.training.report.tested import Tested

FILE = "report.html"


def write_report(run: Path, tested: Tested | None = None) -> Path:
    path = run / FILE
    write_atomically(path, page(run.name, RunFiles.of(run), tested).encode("utf-8"))
    return path


def page(name: str, files: RunFiles, tested: Tested | None = None) -> str:
    """Sections without anything to show are left out."""
    made = [*(of_test.sections(tested) if tested else ()), *of_training.sections(files)]
    top = header(printable(name), with_code(decision(files, tested)), with_code(basis(files, tested)))
    return document(
        f"Run {printable(name)}",
        top,
        contents(title for title, _ in made),
        *(section(one, *rest) for one, rest in made),
    )


def decision(files: RunFiles, tested: Tested | None) -> str:
    """The result in one sentence."""
    if tested is None:
        return f"Trained for {count(steps_of(files))} steps{validated(files)}; not tested yet"
    report = tested.report
    share = report.top1 if isinstance(report, ClassificationReport) else None
    if isinstance(report, Evaluation):
        share = report.accuracy
    if share is None:
        first = report.others[0] if isinstance(report, Evaluation) and report.others else None
        return f"{first.name} {first.value:.4g} on {len(tested.images):,} test images" if first else "Tested"
    counted = report.counted if isinstance(report, Evaluation) else "images"
    return (
        f"{100 * share.value:.1f} % of {share.total:,} test {counted} are right "
        f"(95 % interval {100 * share.low:.1f} to {100 * share.high:.1f})"
    )


def basis(files: RunFiles, tested: Tested | None) -> str:
    if tested is None:
        return (
            "`vitrail test --ckpt_path …/checkpoints/best.ckpt` measures the run on its test images and adds them here."
        )
    steps = f"; trained for {count(steps_of(files))} steps{validated(files)}" if files.metrics else ""
    return f"{len(tested.images):,} test images of {printable(tested.place)}{steps}"


def steps_of(files: RunFiles) -> float:
    return max((points[-1][0] for points in files.metrics.values()), default=0)


def validated(files: RunFiles) -> str:
    points = files.metrics.get("val_accuracy", ())
    return f", with a validation accuracy of {100 * points[-1][1]:.1f} % at the end" if points else ""
