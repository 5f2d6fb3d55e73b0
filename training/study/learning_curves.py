"""Learning curves of shipped recipes: test accuracy against labelled images, as numbers, a table and a plot."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vitrail.errors import UsageError
from vitrail.tasks.classification.report import ClassificationReport
from vitrail.tasks.intervals import Share
from vitrail.training.cli import CommandLine, run

COLOURS = ("#1d4e89", "#c1440e", "#3b7a57", "#7b4b94")


@dataclass(frozen=True)
class Point:
    """One trained network: its recipe, its number of labelled images, its test accuracy."""

    recipe: str
    images: int
    accuracy: Share
    checkpoint: Path


def train_and_test(recipe: str, images: int, folder: Path) -> Point:
    """Train a shipped recipe on a nested subset, and test its best checkpoint."""
    directory = folder / f"{recipe}-{images}"
    done = run("fit", ["--config", recipe, f"--data.images={images}", f"--run={directory}"])
    assert isinstance(done, CommandLine)
    done.trainer.test(done.model, datamodule=done.datamodule, ckpt_path=str(done.best), verbose=False)
    report = done.save_predictions()
    if not isinstance(report, ClassificationReport):
        raise UsageError(f"learning curves need a classification recipe; '{recipe}' is for {done.datamodule.task}")
    return Point(recipe, images, report.top1, done.best)


def table(points: Iterable[Point]) -> str:
    """One row a size, one column a recipe, 95 % intervals in brackets."""
    accuracy = {(point.recipe, point.images): point.accuracy for point in points}
    recipes = list(dict.fromkeys(recipe for recipe, _ in accuracy))
    sizes = sorted({images for _, images in accuracy})
    head = "images  " + "  ".join(f"{recipe:<24}" for recipe in recipes)
    rows = [f"{size:8d}  " + "  ".join(f"{accuracy[recipe, size]!s:<24}" for recipe in recipes) for size in sizes]
    return "\n".join(line.rstrip() for line in [head, *rows])


def plot(points: Iterable[Point], path: Path) -> None:
    """Test accuracy against labelled images, with intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points = list(points)
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for recipe, colour in zip(dict.fromkeys(point.recipe for point in points), COLOURS, strict=False):
        curve = sorted((point for point in points if point.recipe == recipe), key=lambda point: point.images)
        sizes = [point.images for point in curve]
        shares = [point.accuracy for point in curve]
        spread = [[s.value - s.low for s in shares], [s.high - s.value for s in shares]]
        axes.errorbar(sizes, [s.value for s in shares], spread, marker="o", capsize=3, color=colour, label=recipe)
    axes.set(xscale="log", xlabel="labelled images", ylabel="test accuracy, 95 % interval")
    axes.set_xticks(sorted({point.images for point in points}), labels=None)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_formatter("")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
