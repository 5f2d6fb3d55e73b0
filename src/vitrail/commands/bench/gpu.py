"""vitrail bench gpu: everything that needs a GPU, in one run of bounded time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitrail.commands import require_packages
from vitrail.commands.bench.options import require_folder, sizes, stop_servers_on_sigterm, write_report
from vitrail.errors import UsageError
from vitrail.parsers import Parser

if TYPE_CHECKING:
    from vitrail.bench.gpu.plan import Plan

ABOUT = """Measure everything that needs an NVIDIA GPU, offline and within a given time.

  vitrail bench gpu
  vitrail bench gpu --json gpu.json
  vitrail bench gpu --parts infer,train --minutes 5
  vitrail bench gpu --parts fit --images cifar10 --minutes 20

tests   the tests of tests/gpu, in a checkout
fit     the recipes small-cnn and small-vit on --images, such as CIFAR-10: accuracy on its test images, and seconds
infer   the model file under CUDA and TensorRT, fp32 and fp16, beside torch eager and torch.compile in bf16
train   matrix products as the ceiling (bf16, fp32 with and without TF32), then training steps compared with it
data    training steps fed by the pipeline, beside the same steps on one batch that stays on the GPU
serve   our server on the GPU under load

Every row is printed as it is measured, and --json is rewritten with it, so a killed run leaves what it measured. A
provider or package that is not installed is a row `absent`; what does not fit into the time is a row `not run`; a
failure is a row with its reason, the others go on, and the exit code is 1. Without a GPU it is 2."""


def main(args: Sequence[str]) -> int:
    parser = Parser("bench gpu", ABOUT)
    parser.add_argument("--parts", default="tests,fit,infer,train,data,serve", help="parts to measure")
    parser.add_argument("--minutes", type=float, default=9.0, help="time limit of the whole run, at most 25 (9)")
    parser.add_argument("--images", help="a set of small images, in fit; without it that part is absent")
    parser.add_argument("--fit_steps", type=int, default=4000, help="steps of a fit (4000)")
    parser.add_argument("--name", default="vit_small_patch16_224", help="any ViT of timm, in infer and serve")
    parser.add_argument("--batches", default="1,32", help="batch sizes in infer (1,32)")
    parser.add_argument("--train_batch", type=int, default=128, help="images a training step (128)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, images and the order in each round")
    parser.add_argument("--json", help="also write every row into this file")
    options = parser.parse_args(args)
    require_folder(options.json)

    from vitrail.bench.gpu.plan import Plan

    plan = Plan(
        parts=tuple(dict.fromkeys(part.strip() for part in options.parts.split(","))),
        minutes=options.minutes,
        images=options.images,
        fit_steps=options.fit_steps,
        name=options.name,
        batches=sizes(options.batches),
        train_batch=options.train_batch,
        seed=options.seed,
    )
    require_gpu()
    stop_servers_on_sigterm()
    return measure(plan, options.json)


def require_gpu() -> None:
    from vitrail.runtime.providers import has_nvidia_driver

    if not has_nvidia_driver():
        raise UsageError("there is no NVIDIA GPU on this machine, and `vitrail bench gpu` measures nothing without one")
    require_packages("torch", "timm")


def measure(plan: "Plan", json: str | None) -> int:
    from vitrail.bench.gpu.run import Run
    from vitrail.bench.gpu.table import foot, head, line

    run = Run(
        plan, on_row=lambda row: print(line(row), flush=True), on_report=lambda report: write_report(report, json)
    )
    print(head(run.report(finished=False)), flush=True)
    report = run.measure()
    if report.no_device is not None:
        raise UsageError(f"there is no GPU to measure: {report.no_device}")
    print(foot(report))
    return 1 if report.failed else 0
