"""Training steps fed by the pipeline, beside the same steps on one batch that is always there."""

from time import perf_counter
from typing import Literal

import timm
import torch
import torch.nn.functional as F

from vitrail.bench.core.report import Progress, RoundsPlan, silent
from vitrail.bench.core.rounds import Times, shuffled_rounds
from vitrail.bench.data.loaders import OurEpochs, flipped
from vitrail.images.canvas import InputRule
from vitrail.models.input import Input
from vitrail.models.timm_models import pixel_statistics
from vitrail.training.batches import Batch

FED, RESIDENT = "fed by the pipeline", "one resident batch"
CLASSES = 2
RATE = 1e-4


class Training:
    """A network of timm on a device; on a GPU it computes in bf16."""

    def __init__(self, name: str, size: int, device: Literal["cpu", "cuda"], seed: int) -> None:
        torch.manual_seed(seed)
        self.device = device
        self.network = timm.create_model(name, num_classes=CLASSES, img_size=size).to(device).train()
        self.input = Input(InputRule(size, "squash", *pixel_statistics(self.network))).to(device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=RATE)

    def received(self, batch: Batch) -> Batch:
        """Moved to the device and augmented there, as `vitrail fit` does."""
        images, labels, indices = batch
        moved = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True), indices
        return flipped(moved), *moved[1:]

    def step(self, batch: Batch) -> None:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            loss = F.cross_entropy(self.network(self.input.normalised(batch[0])), batch[1])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def wait(self) -> None:
        """A GPU works on after a call has returned."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def fed_and_resident(
    ours: OurEpochs, training: Training, plan: RoundsPlan, steps: int, progress: Progress = silent
) -> Times:
    """Seconds a step, one number a round.

    The pipeline works ahead while it waits for its turn. A turn therefore begins without the batches made meanwhile,
    and with steps that are not timed, in which the pipeline and the network find their pace.
    """
    batches = ours.endless()
    resident = training.received(next(batches))

    def run(name: str, count: int) -> float:
        training.wait()
        begin = perf_counter()
        for _ in range(count):
            training.step(training.received(next(batches)) if name == FED else resident)
        training.wait()
        return perf_counter() - begin

    times: Times = {FED: [], RESIDENT: []}
    for name in shuffled_rounds([FED, RESIDENT], plan.rounds, plan.seed, progress):
        if name == FED:
            batches.skip_made()
        run(name, batches.workers + 1)
        times[name].append(run(name, steps) / steps)
    batches.close()
    return times
