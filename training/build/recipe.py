"""recipe.yaml of a build: with it `vitrail fit` repeats the training, or the header says how to repeat the probe."""

import shlex

import yaml

from vitrail.training.build.candidates import Candidate, Plain
from vitrail.training.build.plan import BuildPlan
from vitrail.training.build.state import State, Trained
from vitrail.training.build.tuning import data_options

PROBE = "probe.ckpt"  # in the folder of a build, where the training started from it


def recipe_text(plan: BuildPlan, candidate: Candidate, state: State, images: int) -> str:
    """The training of the best model's network as it was done, with so many training images."""
    trained, recipe = state.training_of(candidate.name), candidate.recipe
    content = {
        **recipe,
        "seed_everything": plan.seed,
        "trainer": {"devices": 1, **trained.trainer} if trained else recipe["trainer"],
        "model": started(recipe["model"], start_of(plan, candidate, state)),
        "data": {**data_options(candidate, images, state.allows_flips(candidate.name)), **plan.data},
    }
    lines = header(plan, candidate, state, trained)
    return "".join(f"# {line}\n" for line in lines) + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def start_of(plan: BuildPlan, candidate: Candidate, state: State) -> str | None:
    """The checkpoint of the probe, from which every training of its network starts."""
    probed = state.of(candidate.name, "linear probe")
    if probed is None:
        return None
    return str(plan.output / ("best.ckpt" if state.best == probed else PROBE))


def started(model: Plain, checkpoint: str | None) -> Plain:
    """The `model` section with this checkpoint to start from."""
    if checkpoint is None:
        return model
    net = model["net"]
    return {**model, "net": {**net, "init_args": {**net["init_args"], "pretrained": checkpoint}}}


def header(plan: BuildPlan, candidate: Candidate, state: State, trained: Trained | None) -> list[str]:
    best, start = state.best, start_of(plan, candidate, state)
    fit = f"vitrail fit --config {shlex.quote(str(plan.output / 'recipe.yaml'))}"
    if best.stage != "linear probe":
        source = f", from the linear probe in {start}" if start else ""
        return [fit, f"Repeats the training of best.ckpt: {best}{source}.", *ending(best)]
    probe = (
        f"The build above makes best.ckpt again, a linear probe of {best.candidate}, which vitrail fit does not make."
    )
    if trained is None:
        return [command_of(plan), probe, fit, "Trains the network from it, which the build did not."]
    return [command_of(plan), probe, fit, "Repeats the training from it, which was no better.", *ending(trained)]


def ending(trained: Trained) -> list[str]:
    """What the recipe does not repeat."""
    lines = []
    if trained.is_resumed:
        lines.append(
            "The build was stopped and went on with another length; the recipe has the last one from the start."
        )
    if trained.steps < trained.trainer["max_steps"]:
        lines.append(f"The build ended it after step {trained.steps}; the recipe goes on to its last step.")
    return lines


def command_of(plan: BuildPlan) -> str:
    """The build, into another folder."""
    words = ["vitrail", "build", plan.path, "--output", "FOLDER", "--minutes", f"{plan.minutes:g}"]
    words += ["--seed", str(plan.seed), "--duplicates", plan.duplicates, "--corrupt", plan.corrupt]
    words += [] if plan.weights is None else ["--weights", str(plan.weights)]
    return shlex.join([*words, *(["--offline"] if plan.offline else [])])
