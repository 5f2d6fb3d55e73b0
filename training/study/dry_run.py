"""A dry run: prints the grid of runs and, from a few steps of each contender and size, the time and cost of a study."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from vitrail.data import Source, open_source
from vitrail.data.subsets import sizes_for
from vitrail.training.process import prepare_process
from vitrail.training.study.baseline_cost import baseline_seconds
from vitrail.training.study.image_cache import CachedSource, SourceSubset
from vitrail.training.study.jobs import Job
from vitrail.training.study.parsing import StudyOptions
from vitrail.training.study.plan import Plan
from vitrail.training.study.progress import duration
from vitrail.training.study.resolved_plan import ResolvedPlan, resolve
from vitrail.training.study.store import existing_plan
from vitrail.training.study.study import executor
from vitrail.training.study.train import train
from vitrail.training.study.weights import with_weights
from vitrail.training.study.worker import threads_of

SHORT, LONG = 4, 16  # steps of two short runs, whose difference excludes what every run does once
SAMPLE = 600  # images that are enough to measure the cost of one


@dataclass(frozen=True)
class RunCost:
    """Seconds of a step, of an image in a validation, of an image in the final predictions, and of the rest."""

    step: float
    validation: float
    prediction: float
    fixed: float

    def of_run(self, plan: Plan, train: int, val: int, test: int) -> float:
        """Seconds of a whole run with this many images; an upper bound with equal epochs, where runs stop early."""
        if plan.mode == "equal-steps":
            steps, validations = plan.steps, plan.steps // plan.validate_every
        else:
            steps, validations = plan.epochs * max(1, train // plan.data["batch_size"]), plan.epochs
        return self.fixed + steps * self.step + validations * val * self.validation + (train + test) * self.prediction


def dry_run(options: StudyOptions) -> None:
    """Print the estimate; nothing is written."""
    prepare_process()
    plan = with_weights(options.plan, options.weights)
    source = open_source(plan.data["path"], plan.data["seed"])
    resolved = existing_plan(options.folder, plan, source.fingerprint) or resolve(plan, source)
    with executor(options, resolved) as workers:  # starts no worker without a job
        size = workers.size
    most = max(SAMPLE, 2 * len(resolved.classes), 2 * plan.data["batch_size"])
    sample = CachedSource(SourceSubset(source, most))
    with threads_of(plan):
        decoding = decoding_seconds(resolved, source, sample)
        seconds = run_seconds(resolved, source, sample, most)
    print(report(resolved, seconds, decoding, baseline_seconds(resolved, source, most), size))


def decoding_seconds(resolved: ResolvedPlan, source: Source, sample: CachedSource) -> float:
    """What every worker spends once on decoding all images of the runs, from the sample; those to crop twice."""
    begin = perf_counter()
    decoded = len(sample.read("test", resolved.rule))
    each = (perf_counter() - begin) / decoded
    times = 1 if resolved.plan.data.get("crop") is None else 2
    return each * (times * resolved.sizes[-1] + len(source.labels("test")))


def run_seconds(
    resolved: ResolvedPlan, source: Source, sample: CachedSource, most: int
) -> dict[tuple[str, int], float]:
    """An estimate for every contender and size, which decodes only the sample."""
    plan, classes = resolved.plan, len(resolved.classes)
    names = [contender.name for contender in resolved.contenders]
    costs = {
        (name, size): measure(resolved, name, size, sample)
        for name in names
        for size in {min(size, most) for size in resolved.sizes}
    }
    val, test = (len(source.labels(part)) for part in ("val", "test"))
    return {
        (name, size): costs[name, min(size, most)].of_run(plan, *sizes_for(size, classes, val), test)
        for name in names
        for size in resolved.sizes
    }


def measure(resolved: ResolvedPlan, contender: str, size: int, source: Source) -> RunCost:
    """From two short runs."""
    job = Job(contender, size, resolved.plan.seeds[0], resolved.contender(contender).rate)
    train(resolved, job, source, steps=1)  # compiles and decodes what later runs reuse
    begin = perf_counter()
    short = train(resolved, job, source, steps=SHORT)
    total = perf_counter() - begin
    long = train(resolved, job, source, steps=LONG)
    step = max((long.training_seconds - short.training_seconds) / (LONG - SHORT), 0.0)
    validation = median([*short.validation_seconds, *long.validation_seconds])
    return RunCost(
        step=step,
        validation=validation / short.result.val_images,
        prediction=short.prediction_seconds / (short.result.train_images + len(source.labels("test"))),
        fixed=max(total - short.prediction_seconds - SHORT * step - validation, 0.0),
    )


def report(
    resolved: ResolvedPlan,
    seconds: dict[tuple[str, int], float],
    decoding: float,
    baselines: float,
    workers: int,
) -> str:
    """The grid with runs and seconds of a run, and the totals."""
    plan = resolved.plan
    trials = len(plan.rate_factors) * len(plan.rate_seeds) if resolved.rates_are_tried else 0
    runs = {size: len(plan.seeds) + (trials if size in resolved.tuned_sizes else 0) for size in resolved.sizes}
    names = [contender.name for contender in resolved.contenders]
    width = max(10, *(len(name) + 2 for name in names))
    head = f"{'images':>8}  {'runs of each':>12}" + "".join(f"{name:>{width}}" for name in names)
    rows = [
        f"{size:8,}  {runs[size]:12}" + "".join(f"{seconds[name, size]:{width - 2}.1f} s" for name in names)
        for size in resolved.sizes
    ]
    total = sum(seconds[name, size] * runs[size] for name, size in seconds)
    count = sum(runs.values()) * len(names)
    device = "GPU" if torch.cuda.is_available() and plan.device != "cpu" else "core"
    hours = (total + workers * decoding + baselines) / 3600 * (plan.threads if device == "core" else 1)
    most = "at most " if plan.mode == "equal-epochs" else ""
    last = (
        f"{count} runs, {most}{duration(total + decoding)} one after another, about "
        f"{duration(total / workers + decoding)} with {workers} at a time; of that {duration(decoding)} to decode the "
        f"images, once in each worker; then {duration(baselines)} for the baselines; cost: {most}{hours:.2f} "
        f"{device}-hours"
    )
    matched = [f"{name} matched: {matched}" for name, matched in resolved.matched.items()]
    return "\n".join([*matched, head, *rows, last])
