"""A build: data check, probes, fine-tuning, choice, one test, export, and the folder that holds it all."""

from dataclasses import replace
from math import sqrt
from pathlib import Path
from time import monotonic
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vitrail.data.check.check import Checked, check
from vitrail.data.check.text import headline, lines_of
from vitrail.errors import DataError, UsageError, VitrailError
from vitrail.exporting import export
from vitrail.images.canvas import InputRule
from vitrail.model_file.explanation import explain_path
from vitrail.models import Architecture
from vitrail.models.checkpoint import Origin, load_checkpoint, write_checkpoint
from vitrail.models.input import Input
from vitrail.models.timm_models import pixel_statistics
from vitrail.tasks.training import TRAINING_TASKS
from vitrail.training.build.candidates import Candidate, candidates
from vitrail.training.build.clock import Clock, Say, minutes
from vitrail.training.build.folder import write_folder
from vitrail.training.build.outcome import save_features
from vitrail.training.build.plan import BuildPlan, default_output, weights_folder
from vitrail.training.build.state import Stage, Trained, Workshop
from vitrail.training.build.tuning import (
    BEST,
    Length,
    is_worthwhile,
    length_of,
    module_and_data,
    steps_done,
    tune,
)
from vitrail.training.data_module import ImageDataModule
from vitrail.training.features import FrozenNetwork
from vitrail.training.memory import BatchTooLarge
from vitrail.training.probe import fit_head

FLIP_Z = 1.645  # one-sided, 95 %: flips are left out where they make the probe worse beyond chance
RESERVE = 0.15  # of the time, at most, for the last export with its explanations, and the test
PLAIN, EXPLAINED = 1.5, 3.0  # times what the first export took: an export and the test, without explanations and with
LEAST_TRAINING = 5.0  # seconds; to measure how long a step takes is most of that
SHARES = {"leader": 3, "scratch": 1}  # of the time for training; other pretrained networks take what is left


def build(
    path: str,
    output: str | Path | None = None,
    minutes: float = 30.0,
    weights: str | Path | None = None,
    offline: bool = False,
    seed: int = 0,
    duplicates: Literal["refuse", "allow"] = "refuse",
    corrupt: Literal["refuse", "skip"] = "refuse",
    progress: Say = lambda line: None,
) -> Path:
    """From a folder of images to a folder with a verified model, like `vitrail build`; returns that folder.

    `vitrail.load` takes the folder, and so does `vitrail serve`.

    Args:
        path: images, one folder a class, or another set that `vitrail fit` takes.
        output: the folder to write; by default it is named after the images.
        minutes: of work.
        weights: a folder of pretrained weights, each file called after its network in timm.
        offline: whether nothing may be downloaded.
        seed: of the split of unsplit images, and of training.
        duplicates: whether to refuse parts that share images.
        corrupt: whether to refuse images that do not decode, or to leave them out.
        progress: is called with each line of progress.
    """
    folder = weights_folder(None if weights is None else Path(weights))
    place = default_output(path) if output is None else Path(output)
    plan = BuildPlan(str(path), place, minutes, folder, offline, seed, duplicates, corrupt)
    return Build(plan, progress).run()


class Build:
    """One build; every stage is kept, so that the same command goes on after it was stopped."""

    def __init__(self, plan: BuildPlan, write: Say) -> None:
        self.plan = plan
        self.workshop = Workshop(plan.output)
        self.state = self.workshop.open(plan.decisive)
        self.clock = Clock(plan.minutes, self.state.seconds, write)
        self.say = self.clock.say
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def run(self) -> Path:
        try:
            self.work()
        except (KeyboardInterrupt, OSError):  # such as a full disk
            if self.state.exported:
                self.say(f"the best so far is {self.plan.output / 'model.onnx'}; the same command goes on")
            raise
        return self.plan.output

    def work(self) -> None:
        checked = self.check()
        found, why = candidates(self.plan.weights, self.plan.offline, self.device, side_of(checked))
        self.say(f"{', '.join(map(str, found))}: {why}")
        data = self.data_of(found[0])
        data.prepare()
        for candidate in found:
            if candidate.is_pretrained and self.has_time_to_probe(candidate):
                self.probe(candidate)
        if self.state.trained:
            self.export()
        is_interrupted = self.train_all(found)
        self.export(is_last=True)
        self.finish(checked, found, not is_interrupted)

    def check(self) -> Checked:
        """What is wrong with the images; `prepare` refuses what must be mended."""
        checked = check(self.plan.path, self.plan.seed, self.clock.counting("checked"))
        self.say(headline(checked.report))
        for finding in (*checked.report.of_weight("refused"), *checked.report.of_weight("warning")):
            for line in lines_of(finding):
                self.say(line)
        if checked.listing.source is None:
            raise DataError(checked.listing.refusal)
        if checked.listing.task != "classification":
            raise UsageError(
                f"vitrail build makes classifiers; the task of these images is {checked.listing.task}: "
                "use vitrail fit with a recipe"
            )
        return checked

    def data_of(self, candidate: Candidate) -> ImageDataModule:
        """Canvases for a candidate, without random changes."""
        return ImageDataModule(**self.plan.data, size=candidate.size, batch_size=64)

    def has_time_to_probe(self, candidate: Candidate) -> bool:
        """Always for the first network; another one takes about as long as the one before."""
        if not self.state.trained or self.clock.left > self.state.trained[-1].seconds + self.reserve:
            return True
        self.say(f"{candidate.name}: no time for it; give more with --minutes")
        return False

    def probe(self, candidate: Candidate) -> None:
        """Fit the head of the frozen network."""
        if self.state.of(candidate.name, "linear probe"):
            return
        begin, data = monotonic(), self.data_of(candidate)
        self.say(f"{candidate.name}: features of {data.count('train') + data.count('val'):,} images")
        network = Architecture.from_plain(candidate.recipe["model"]["net"]).build(data.class_count, candidate.size)
        rule = InputRule(candidate.size, "squash", *pixel_statistics(network))
        frozen = FrozenNetwork(network, Input(rule), self.device)
        show = self.clock.counting(f"{candidate.name}: features of")
        train, val = (frozen.features(data, part, show) for part in ("train", "val"))
        head, task = network.get_classifier(), TRAINING_TASKS[data.task](data.class_count, 0.0)  # type: ignore[operator]
        fitted = fit_head(head.cpu(), task, train, val)
        is_right = head(val.inputs).argmax(1) == val.targets
        flipped = head(frozen.features(data, "val", show, is_flipped=True).inputs).argmax(1) == val.targets
        file = self.workshop.folder / candidate.name / "probe.ckpt"
        architecture = Architecture.from_plain(candidate.recipe["model"]["net"])
        origin = Origin(architecture, rule, data.classes, data.run_data, self.plan.seed, data.task)
        write_checkpoint(file, origin, network)
        save_features(file.with_name("features.npz"), train, val, fitted.penalty)
        self.keep(
            Trained(
                candidate.name,
                candidate.family,
                "linear probe",
                str(file.relative_to(self.plan.output)),
                int(is_right.sum()),
                len(is_right),
                monotonic() - begin,
                flips=flips_are_harmless(is_right.numpy(), flipped.numpy()),
            )
        )

    def keep(self, one: Trained) -> None:
        self.state = replace(self.state.with_trained(one), seconds=self.clock.seconds)
        self.workshop.save(self.state)
        self.say(f"{one}: validation accuracy {one.accuracy}, in {minutes(one.seconds)}")

    def train_all(self, found: list[Candidate]) -> bool:
        """Train the networks themselves, the most promising first; whether Ctrl-C ended it."""
        order = sorted(found, key=self.probed_hits, reverse=True)
        for index, candidate in enumerate(order):
            shares = [share_of(index_ == 0, one) for index_, one in enumerate(order)][index:]
            share = shares[0] / sum(shares) if sum(shares) else 1.0
            if self.train(candidate, share * (self.clock.left - self.reserve)):
                return True
        return False

    def probed_hits(self, candidate: Candidate) -> int:
        probed = self.state.of(candidate.name, "linear probe")
        return probed.hits if probed else -1

    @property
    def reserve(self) -> float:
        """Seconds for the last export and the test; a short build spends those of explanations on training."""
        most, once = RESERVE * 60 * self.plan.minutes, self.state.export_seconds
        if not self.state.exported:
            return most
        return EXPLAINED * once if EXPLAINED * once <= most else PLAIN * once

    def train(self, candidate: Candidate, seconds: float) -> bool:
        stage: Stage = "fine-tuned" if candidate.is_pretrained else "from scratch"
        if (earlier := self.state.of(candidate.name, stage)) and earlier.is_finished:
            return False
        if seconds < LEAST_TRAINING:
            self.say(f"{candidate.name}: no time to train it further")
            return False
        begin, folder = monotonic(), self.workshop.folder / candidate.name
        probed = self.state.of(candidate.name, "linear probe")
        is_flipped = self.state.allows_flips(candidate.name)
        module, data = module_and_data(candidate, self.plan, self.data_of(candidate), is_flipped)
        if probed is not None:
            module.net.load_state_dict(load_checkpoint(self.plan.output / probed.checkpoint)[1])
        length = length_of(module, data, seconds, candidate.is_pretrained, self.device)
        done = steps_done(folder)
        length = replace(length, steps=done + length.steps) if done else length
        if not is_worthwhile(length, data):
            self.say(f"{candidate.name}: no time to train it further ({describe(length, data)})")
            return False
        flips = "" if is_flipped else ", without flips, which change what these images show"
        self.say(f"{candidate.name}, {stage}: {describe(length, data)}, {length.execution}{flips}")
        try:
            tuned = tune(module, data, length, folder, monotonic() + seconds, self.device, self.say)
        except BatchTooLarge as fault:  # what was trained before is exported all the same
            self.say(f"{candidate.name}: {fault}, with vitrail fit")
            return False
        if tuned.curve:
            checkpoint = str((folder / BEST).relative_to(self.plan.output))
            made = Trained(
                candidate.name,
                candidate.family,
                stage,
                checkpoint,
                tuned.hits,
                data.count("val"),
                monotonic() - begin,
                tuned.steps,
                tuned.curve,
                is_finished=not tuned.is_interrupted,
                is_resumed=done > 0,
                trainer=length.recipe,
            )
            self.keep(made)
        return tuned.is_interrupted

    def export(self, is_last: bool = False) -> None:
        """Write the best model so far, unless it is written already; the last with explanations, if there is time."""
        if not self.state.trained:
            raise VitrailError(
                f"no network was trained in {self.plan.minutes:g} minutes: give more with --minutes, "
                "or pretrained weights with --weights"
            )
        best, begin = self.state.best, monotonic()
        is_explained = is_last and self.clock.left > EXPLAINED * self.state.export_seconds
        if is_last and not is_explained:
            self.say("no time is left for explanations: vitrail export --explain writes them from best.ckpt")
        if self.state.exported == best.key and not is_explained:
            return
        self.say(f"exporting {best}")
        model = self.plan.output / "model.onnx"
        export(self.plan.output / best.checkpoint, model, with_explanation=is_explained)
        if not is_explained:
            explain_path(model).unlink(missing_ok=True)  # of the model before
        seconds = self.state.export_seconds or monotonic() - begin
        self.state = replace(self.state, exported=best.key, export_seconds=seconds, seconds=self.clock.seconds)
        self.workshop.save(self.state)
        self.say(f"{model}: {best}, verified" + (", with explanations" if is_explained else ""))

    def finish(self, checked: Checked, found: list[Candidate], is_complete: bool) -> None:
        """Test once, write the folder, and where nothing is left to do, remove what a build in progress needs."""
        candidate = next(one for one in found if one.name == self.state.best.candidate)
        written = write_folder(self.plan, self.state, candidate, checked, self.data_of(candidate))
        self.state = replace(self.state, is_complete=is_complete, seconds=self.clock.seconds)
        self.workshop.save(self.state)
        if is_complete:
            self.workshop.clear()
        self.say(f"test accuracy {written}")


def side_of(checked: Checked) -> int:
    """The shorter side of the median image."""
    shorter = checked.report.shorter
    return shorter.median if shorter else 0


def share_of(is_first: bool, candidate: Candidate) -> int:
    if candidate.is_pretrained:
        return SHARES["leader"] if is_first else 0
    return SHARES["scratch"]


def describe(length: Length, data: ImageDataModule) -> str:
    epochs = length.steps * data.batch_size / max(1, data.count("train"))
    return f"{length.steps:,} steps of {data.batch_size} images, {epochs:.1f} epochs"


def flips_are_harmless(is_right: NDArray[np.bool_], is_right_flipped: NDArray[np.bool_]) -> bool:
    """Whether images turned left to right are recognised as well, as far as chance allows to tell (McNemar)."""
    lost, won = int((is_right & ~is_right_flipped).sum()), int((~is_right & is_right_flipped).sum())
    return lost - won <= FLIP_Z * sqrt(max(1, lost + won))
