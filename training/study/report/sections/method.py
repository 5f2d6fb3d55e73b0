"""How it was measured: the plan, the images, the machine, the statistics."""

from pathlib import PurePath

from vitrail.training.study.plan import Contender, Plan
from vitrail.training.study.report.blocks import Facts, Section
from vitrail.training.study.report.formatting import count, listed, plural
from vitrail.training.study.report.results import Found

STATISTICS = (
    "Every interval is a 90 % one and has two levels: test images are drawn anew for all runs alike, and the scatter "
    "between seeds is estimated over all sizes and contenders together, with its own uncertainty. Four laws of error "
    "are fitted to every draw and averaged; a law weighs as much as its forecast of the largest size was good when "
    "that size was hidden. Curves that rise, or that no law fits, get no forecast."
)


def method(found: Found) -> Section:
    return Section("method", "How it was measured", (Facts(tuple(facts(found))), STATISTICS))


def facts(found: Found) -> list[tuple[str, str]]:
    settled, plan, forecast = found.settled, found.settled.plan, found.forecast
    kinds = plural(len(settled.classes), "class", "classes")
    return [
        ("Plan", f"{plan.name}, SHA-256 {found.hash}"),
        ("Images", f"{PurePath(settled.source).name}, {kinds}, fingerprint {settled.fingerprint}"),
        ("Test set", f"{plural(forecast.test_images, 'image')}, fixed, seen by no run before its end"),
        ("Sizes", f"{listed([count(size) for size in settled.sizes])} labelled images, validation included; each "
                  "smaller subset lies inside the next, the same for all contenders"),
        ("Seeds", listed([str(seed) for seed in plan.seeds])),
        ("Length of a run", length(plan)),
        *((one.name, network(one)) for one in settled.contenders),
        ("Machine", machine(found)),
        ("Versions", ", ".join(f"{name} {number}" for name, number in found.environment.get("versions", {}).items())),
        ("Draws", f"{count(forecast.draws)}, reaching to {forecast.reach:g} times the largest size"),
        ("Files", "plan.json, results.csv, timings.csv, curves.json, learning_curves.png and .svg, runs/"),
    ]  # fmt: skip


def length(plan: Plan) -> str:
    if plan.mode == "equal-steps":
        return f"{count(plan.steps)} steps, all taken; validated every {count(plan.validate_every)}, the best counts"
    return f"{plural(plan.epochs, 'epoch')} at most, {count(plan.patience)} without a gain end it; the best counts"


def network(contender: Contender) -> str:
    """Its class, what decides its shape, and how images are varied for it."""
    net = contender.model["net"]
    chosen = {key: value for key, value in net.get("init_args", {}).items() if value not in (None, False, 0.0)}
    shape = ", ".join(f"{key} {value}" for key, value in chosen.items())
    augment = [str(one.get("class_path", one)).rpartition(".")[2] for one in contender.augment]
    varied = f"; images varied by {listed(augment)}" if augment else ""
    return f"{net['class_path'].rpartition('.')[2]} ({shape}){varied}"


def machine(found: Found) -> str:
    told = found.environment
    if not told:
        return "not recorded"
    gpus = listed(list(told.get("gpus", [])))
    plan = found.settled.plan
    return (
        f"{told.get('processor', '')}, {plural(int(told.get('cores', 0)), 'core')}"
        f"{f', {gpus}' if gpus else ''}; {plural(plan.threads, 'thread')} a run"
    )
