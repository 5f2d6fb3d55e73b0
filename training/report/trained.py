"""Sections on how a run was trained: curves, throughput, settings, environment."""

from collections.abc import Iterator
from statistics import median

from vitrail.plots.blocks import facts, folded
from vitrail.plots.chart import Line, line_chart
from vitrail.plots.formatting import count, plural
from vitrail.plots.markup import element, text
from vitrail.training.report.run_files import SPEED, WAITING, RunFiles

LOSSES = ("train_loss", "val_loss")
SHARES = ("val_accuracy", "val_overlap")  # metrics between 0 and 1, written in per cent
SETTINGS = {
    "Network": "model.net.class_path",
    "Images": "data.path",
    "Size": "data.size",
    "Images a step": "data.batch_size",
    "Optimizer": "model.optimizer.class_path",
    "Learning rate": "model.optimizer.init_args.lr",
    "Steps": "trainer.max_steps",
    "Epochs": "trainer.max_epochs",
    "Precision": "trainer.precision",
    "Seed": "seed_everything",
}


def sections(files: RunFiles) -> Iterator[tuple[str, list[str]]]:
    """Titles and content, without what the files do not have."""
    if curves := list(curves_of(files)):
        yield "Curves", curves
    if SPEED in files.metrics:
        yield "Throughput", throughput(files)
    if files.settings:
        yield "Settings", [facts(chosen(files)), folded("config.yaml", element("pre", text(files.settings)))]
    if files.environment:
        yield "Environment", [facts(environment(files))]


def curves_of(files: RunFiles) -> Iterator[str]:
    """The losses in one chart, every other validation metric in its own."""
    losses = [Line(name, files.metrics[name]) for name in LOSSES if name in files.metrics]
    if losses:
        yield line_chart(" and ".join(line.name for line in losses), losses)
    for name in sorted(files.metrics.keys() - {*LOSSES, SPEED, WAITING}):
        if len(files.metrics[name]) > 1:
            yield line_chart(name, [Line(name, files.metrics[name])], is_share=name in SHARES)


def throughput(files: RunFiles) -> list[str]:
    """Medians over the intervals between validations, and each interval."""
    speeds, waits = files.metrics[SPEED], dict(files.metrics.get(WAITING, ()))
    pairs = [("Images a second", f"{count(median(speed for _, speed in speeds))}, the median between validations")]
    if waits:
        pairs.append(("Waiting for data", f"{100 * median(waits.values()):.1f} % of the time of training steps"))
    charts = [line_chart("images per second", [Line("", speeds)])] if len(speeds) > 1 else []
    return [facts(pairs), *charts]


def chosen(files: RunFiles) -> Iterator[tuple[str, str]]:
    for name, dotted in SETTINGS.items():
        value = files.setting(dotted)
        if value not in (None, -1):
            yield name, str(value)


def environment(files: RunFiles) -> Iterator[tuple[str, str]]:
    found = files.environment
    yield "Processor", f"{found['processor']}, {plural(found['cores'], 'core')}, {plural(found['threads'], 'thread')}"
    if found["gpus"]:
        yield "GPUs", ", ".join(found["gpus"])
    yield "Versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items())
