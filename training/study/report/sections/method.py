"""Method: the plan, the images, the machine, the statistics."""

from pathlib import PurePath

from vitrail.plots.formatting import count, listed, percent, plural
from vitrail.training.study.plan import Contender, Plan
from vitrail.training.study.report.blocks import Facts, Section
from vitrail.training.study.report.results import StudyResults

STATISTICS = (
    "All intervals are 90 % intervals, those of crossings 97 %, so that they hold with shocks, too. They come from "
    "draws of everything that another study would have had different: test "
    "images, the same for all runs; seeds, whose standard deviation is estimated from all sizes of a contender, and in "
    "part from the others; shocks, which move all seeds of a contender at a size together, as a badly chosen learning "
    "rate does, and are estimated from how far errors lie off a smooth curve; and runs that collapse, which count at "
    "the rate that the study shows. Four laws of error are fitted to every draw and averaged, weighted by their "
    "forecasts of the held-out largest size; a forecast scatters by as much again as that one was off. Where that was "
    "more than chance, where a curve rises, or where no law fits, there is no forecast. A forecast ends at twice the "
    "largest size, at four times where one from a quarter of it was within 20 %. No statistics can see a curve that "
    "turns later: every forecast is an “if”."
)
ONE_SIZE = (
    "All intervals are 90 % intervals. They come from draws of everything that another study would have had different: "
    "test images, the same for all runs; seeds, whose standard deviation is estimated for each contender, and in part "
    "from the others; shocks, which move all seeds of a contender together, as a badly chosen learning rate does: one "
    "size cannot show them, so they scatter as usual; and runs that collapse, which count at the rate that the study "
    "shows."
)


def method(results: StudyResults) -> Section:
    return Section("method", "Method", (Facts(tuple(facts(results))), STATISTICS if results.has_curves else ONE_SIZE))


def facts(results: StudyResults) -> list[tuple[str, str]]:
    resolved, plan, forecast = results.resolved, results.resolved.plan, results.forecast
    nested = "each smaller subset is contained in the next, " if results.has_curves else ""
    plots = " learning_curves.png and .svg," if results.has_curves else ""
    kinds = plural(len(resolved.classes), "class", "classes")
    return [
        ("Plan", f"{plan.name}, SHA-256 {resolved.hash}"),
        ("Images", f"{PurePath(resolved.source).name}, {kinds}, fingerprint {resolved.fingerprint}"),
        ("Test set", f"{plural(forecast.test_images, 'image')}, fixed, used by no run before its end"),
        ("Sizes", f"{listed([count(size) for size in resolved.sizes])} labelled images, validation included; "
                  f"{nested}the same for all contenders"),
        ("Seeds", listed([str(seed) for seed in plan.seeds])),
        ("Length of a run", length(plan)),
        *((one.name, f"{network(one)}; {resolved.execution(one.name)}") for one in resolved.contenders),
        ("Machine", machine(results)),
        ("Versions", ", ".join(f"{name} {number}" for name, number in results.environment.get("versions", {}).items())),
        ("Draws", count(forecast.draws)),
        ("Shocks", f"{percent(forecast.shock)} of a cell’s error, standard deviation"),
        ("Files", f"plan.json, results.csv, timings.csv, curves.json,{plots} runs/"),
    ]  # fmt: skip


def length(plan: Plan) -> str:
    if plan.mode == "trained-out":
        return (
            f"from {count(plan.steps)} steps, doubled up to {count(plan.most_steps)} while that helps; "
            f"{plural(plan.validations, 'validation')} a run, which ends when half of them in a row bring nothing; "
            "best checkpoint"
        )
    if plan.mode == "equal-steps":
        return f"{count(plan.steps)} steps, validated every {count(plan.validate_every)}; best checkpoint"
    return f"at most {plural(plan.epochs, 'epoch')}, early stopping after {count(plan.patience)}; best checkpoint"


def network(contender: Contender) -> str:
    """Class, shape, augmentation and weights it starts from."""
    net = contender.model["net"]
    chosen = {key: value for key, value in net.get("init_args", {}).items() if value not in (None, False, 0.0)}
    shape = ", ".join(f"{key} {value}" for key, value in chosen.items())
    augment = [str(one.get("class_path", one)).rpartition(".")[2] for one in contender.augment]
    augmented = f"; augmented by {listed(augment)}" if augment else ""
    started = f"; weights of SHA-256 {contender.weights}" if contender.weights else ""
    return f"{net['class_path'].rpartition('.')[2]} ({shape}){augmented}{started}"


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
