"""Training steps that the pipeline of `vitrail fit` feeds, beside the same steps on one batch on the GPU."""

from functools import partial
from pathlib import Path
from time import perf_counter

from vitrail.bench.core.rounds import median_interval, speedups
from vitrail.bench.data.loaders import NO_ROOM, OurEpochs
from vitrail.bench.data.photo_set import noise, write_photo_set
from vitrail.bench.data.steps import FED, RESIDENT, Training, fed_and_resident
from vitrail.bench.gpu.plan import Figures, Plan
from vitrail.bench.gpu.steps import Absent, Steps

WIDTH, HEIGHT = 640, 480


def measure(plan: Plan, steps: Steps, folder: Path) -> None:
    (folder / "cache").mkdir(exist_ok=True)
    ours = OurEpochs(folder / "photos", folder / "cache", plan.size, plan.train_batch, workers=None)
    photos = max(plan.photos, plan.train_batch)
    name = f"{photos:,} photos of {WIDTH} × {HEIGHT}, decoded and kept"
    if not steps.attempt(name, partial(prepare, plan, ours, photos), min_seconds=20, max_seconds=120, prepares=True):
        return
    batches = f"batch {plan.train_batch}"
    steps.attempt(f"pipeline alone, {batches}", partial(pipeline, plan, ours), min_seconds=10, max_seconds=60)
    for network in plan.fed_names:
        steps.attempt(
            f"{network}, {batches}",
            partial(training, plan, steps, ours, network),
            min_seconds=20,
            max_seconds=120,
        )


def prepare(plan: Plan, ours: OurEpochs, photos: int) -> Figures:
    """Photos of noise, as none can be fetched; then what `vitrail fit` does before its first step."""
    write_photo_set(ours.folder, photos, noise(WIDTH, HEIGHT, plan.seed))
    begin = perf_counter()
    ours.prepared()
    seconds = perf_counter() - begin
    if not ours.is_kept():
        raise Absent(NO_ROOM)
    return {"images_per_second": photos / seconds}


def pipeline(plan: Plan, ours: OurEpochs) -> Figures:
    """Batches as the workers send them, while nothing else is done."""
    batches = ours.endless()
    batches.skip_made()
    begin = perf_counter()
    for _ in range(plan.fed_steps):
        next(batches)
    seconds = perf_counter() - begin
    batches.close()
    return {"images_per_second": plan.fed_steps * plan.train_batch / seconds, "workers": float(batches.workers)}


def training(plan: Plan, steps: Steps, ours: OurEpochs, network: str) -> None:
    """Forward in bf16 with float32 weights, backward, AdamW, in alternating rounds; a row for each kind of step."""
    times = fed_and_resident(ours, Training(network, plan.size, plan.device, plan.seed), plan, plan.fed_steps)
    ratio = median_interval(speedups(times[FED], times[RESIDENT]))
    ratios = {"of_resident": ratio.value, "of_resident_low": ratio.low, "of_resident_high": ratio.high}
    for name, figures in ((RESIDENT, {}), (FED, ratios)):
        taken = median_interval(times[name])
        speed: Figures = {"images_per_second": plan.train_batch / taken.value, "ms": 1000 * taken.value}
        steps.row(f"{network}, {name}, batch {plan.train_batch}", "measured", speed | figures)
