"""A dry run: prints the grid of runs and, from a few steps of each contender and size, the time and cost of a study."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from vitrail.data import Source, open_source
from vitrail.data.subsets import sizes_for
from vitrail.errors import UsageError
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
        """Seconds of a whole run with this many images.

        An upper bound with equal epochs, where runs stop early; a lower one where they are doubled until trained out.
        """
        if plan.mode != "equal-epochs":
            steps, validations = plan.steps, plan.validations
        else:
            steps, validations = plan.epochs * max(1, train // plan.data["batch_size"]), plan.epochs
        return self.fixed + steps * self.step + validations * val * self.validation + (train + test) * self.prediction


@dataclass(frozen=True)
class Estimate:
    """Seconds of a run of every contender and size, of decoding the images once in a worker, and of all baselines."""

    resolved: ResolvedPlan
    runs: dict[tuple[str, int], float]
    decoding: float
    baselines: float
    workers: int

    @property
    def counts(self) -> dict[int, int]:
        """The number of runs of each contender by size."""
        plan = self.resolved.plan
        trials = len(plan.rate_factors) * len(plan.rate_seeds) if plan.has_trials else 0
        tuned = self.resolved.tuned_sizes
        return {size: len(plan.seeds) + (trials if size in tuned else 0) for size in self.resolved.sizes}

    @property
    def total_runs(self) -> int:
        return sum(self.counts.values()) * len(self.resolved.contenders)

    @property
    def total(self) -> float:
        """Seconds of all runs, one after another."""
        return sum(seconds * self.counts[size] for (_, size), seconds in self.runs.items())

    @property
    def together(self) -> float:
        """Seconds of the study, with all workers."""
        return self.total / self.workers + self.decoding


def dry_run(options: StudyOptions) -> None:
    """Print the estimate; nothing is written."""
    print(report(estimated(options)))


def refuse_small_budget(options: StudyOptions) -> ResolvedPlan | None:
    """A budget must buy the runs that a study begins with; one that is resumed has bought some already.

    Returns the plan as it was resolved for that, where it was.
    """
    if options.budget is None or options.folder.is_dir():
        return None
    print("timing some steps of each contender and size, to see what the budget buys", flush=True)
    estimate = estimated(options)
    if estimate.together > options.budget:
        bought = int(estimate.total_runs * options.budget / estimate.together)
        raise UsageError(
            f"--budget of {duration(options.budget)} buys about {bought} of the {estimate.total_runs} runs of "
            f"{options.plan.steps:,} steps that this study begins with, which take about {duration(estimate.together)} "
            "with no run doubled: give it more, or the plan fewer sizes, contenders or steps"
        )
    return estimate.resolved


def estimated(options: StudyOptions) -> Estimate:
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
        return Estimate(resolved, seconds, decoding, baseline_seconds(resolved, source, most), size)


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


def report(estimate: Estimate) -> str:
    """The grid with runs and seconds of a run, and the totals."""
    resolved, plan = estimate.resolved, estimate.resolved.plan
    names = [contender.name for contender in resolved.contenders]
    width = max(10, *(len(name) + 2 for name in names))
    head = f"{'images':>8}  {'runs of each':>12}" + "".join(f"{name:>{width}}" for name in names)
    rows = [
        f"{size:8,}  {runs:12}" + "".join(f"{estimate.runs[name, size]:{width - 2}.1f} s" for name in names)
        for size, runs in estimate.counts.items()
    ]
    device = "GPU" if torch.cuda.is_available() and plan.device != "cpu" else "core"
    seconds = estimate.total + estimate.workers * estimate.decoding + estimate.baselines
    hours = seconds / 3600 * (plan.threads if device == "core" else 1)
    bound = {"equal-epochs": "at most ", "trained-out": "at least "}.get(plan.mode, "")
    last = (
        f"{estimate.total_runs} runs, {bound}{duration(estimate.total + estimate.decoding)} one after another, about "
        f"{duration(estimate.together)} with {estimate.workers} at a time; of that {duration(estimate.decoding)} to "
        f"decode the images, once in each worker; then {duration(estimate.baselines)} for the baselines; cost: "
        f"{bound}{hours:.2f} {device}-hours"
    )
    doubled = (
        f"These are runs of {plan.steps:,} steps; they are doubled while that helps, up to {plan.most_steps:,}. "
        "--budget bounds the time."
    )
    matched = [f"{name} matched: {matched}" for name, matched in resolved.matched.items()]
    return "\n".join([*matched, head, *rows, last, *([doubled] if plan.mode == "trained-out" else [])])
