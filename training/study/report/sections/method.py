"""Method: the plan, the images, the machine, the statistics."""

from pathlib import PurePath

from vitrail.training.study.plan import Contender, Plan
from vitrail.training.study.report.blocks import Facts, Section
from vitrail.training.study.report.formatting import count, listed, plural
from vitrail.training.study.report.results import StudyResults

STATISTICS = (
    "All intervals are 90 % intervals from a bootstrap with two levels: test images, the same for all runs, and seeds, "
    "whose standard deviation is estimated from all sizes and contenders together, with its uncertainty. Four laws of "
    "error are fitted to every draw and averaged, weighted by their forecasts of the held-out largest size. Curves "
    "that rise, or that no law fits, get no forecast."
)


def method(results: StudyResults) -> Section:
    return Section("method", "Method", (Facts(tuple(facts(results))), STATISTICS))


def facts(results: StudyResults) -> list[tuple[str, str]]:
    resolved, plan, forecast = results.resolved, results.resolved.plan, results.forecast
    kinds = plural(len(resolved.classes), "class", "classes")
    return [
        ("Plan", f"{plan.name}, SHA-256 {resolved.hash}"),
        ("Images", f"{PurePath(resolved.source).name}, {kinds}, fingerprint {resolved.fingerprint}"),
        ("Test set", f"{plural(forecast.test_images, 'image')}, fixed, used by no run before its end"),
        ("Sizes", f"{listed([count(size) for size in resolved.sizes])} labelled images, validation included; each "
                  "smaller subset is contained in the next, the same for all contenders"),
        ("Seeds", listed([str(seed) for seed in plan.seeds])),
        ("Length of a run", length(plan)),
        *((one.name, network(one)) for one in resolved.contenders),
        ("Machine", machine(results)),
        ("Versions", ", ".join(f"{name} {number}" for name, number in results.environment.get("versions", {}).items())),
        ("Draws", f"{count(forecast.draws)}, forecasts up to {forecast.reach:g} times the largest size"),
        ("Files", "plan.json, results.csv, timings.csv, curves.json, learning_curves.png and .svg, runs/"),
    ]  # fmt: skip


def length(plan: Plan) -> str:
    if plan.mode == "equal-steps":
        return f"{count(plan.steps)} steps, validated every {count(plan.validate_every)}; best checkpoint"
    return f"at most {plural(plan.epochs, 'epoch')}, early stopping after {count(plan.patience)}; best checkpoint"


def network(contender: Contender) -> str:
    """Class, shape and augmentation."""
    net = contender.model["net"]
    chosen = {key: value for key, value in net.get("init_args", {}).items() if value not in (None, False, 0.0)}
    shape = ", ".join(f"{key} {value}" for key, value in chosen.items())
    augment = [str(one.get("class_path", one)).rpartition(".")[2] for one in contender.augment]
    augmented = f"; augmented by {listed(augment)}" if augment else ""
    return f"{net['class_path'].rpartition('.')[2]} ({shape}){augmented}"


def machine(results: StudyResults) -> str:
    environment = results.environment
    if not environment:
        return "not recorded"
    gpus = listed(list(environment.get("gpus", [])))
    plan = results.resolved.plan
    return (
        f"{environment.get('processor', '')}, {plural(int(environment.get('cores', 0)), 'core')}"
        f"{f', {gpus}' if gpus else ''}; {plural(plan.threads, 'thread')} a run"
    )
