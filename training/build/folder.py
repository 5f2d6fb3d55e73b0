"""The folder of a build, in the layout of the Hugging Face Hub: model card, weights for timm, report, recipe."""

import shutil
from pathlib import Path

from safetensors import SafetensorError
from timm.models import save_for_hf
from torch import nn

from vitrail.atomic import draft_of, write_atomically
from vitrail.data.check.check import Checked
from vitrail.data.check.page import page as check_page
from vitrail.errors import VitrailError
from vitrail.model_file.classifier import Classifier
from vitrail.models.checkpoint import Origin, read_checkpoint
from vitrail.tasks.intervals import Share
from vitrail.training.build.candidates import Candidate
from vitrail.training.build.model_card import model_card
from vitrail.training.build.outcome import Outcome, evaluate, find_mislabeled
from vitrail.training.build.plan import BuildPlan
from vitrail.training.build.recipe import PROBE, recipe_text
from vitrail.training.build.report import report
from vitrail.training.build.state import FOLDER, State
from vitrail.training.data_module import ImageDataModule


def write_folder(plan: BuildPlan, state: State, candidate: Candidate, checked: Checked, data: ImageDataModule) -> Share:
    """Everything beside model.onnx; the test accuracy."""
    output, checkpoint = plan.output, plan.output / state.best.checkpoint
    network, origin = read_checkpoint(checkpoint)
    classifier = Classifier(output / "model.onnx", "cpu")
    tested, confusion = evaluate(classifier, data)
    mislabeled = find_mislabeled(output / FOLDER, state, data, checked)
    in_timm = save_for_timm(network, origin, output)
    outcome = Outcome(plan, state, checked, classifier.card, candidate.weights, tested, confusion, mislabeled, in_timm)
    copy(checkpoint, output / "best.ckpt")
    keep_probe(output, state)
    texts = {
        "recipe.yaml": recipe_text(plan, candidate, state, data.count("train")),
        "check.html": check_page(checked),
        "report.html": report(outcome),
        "README.md": model_card(outcome),
    }
    for name, text in texts.items():
        write_atomically(output / name, text.encode("utf-8", "backslashreplace"))
    return tested.top1


def keep_probe(output: Path, state: State) -> None:
    """Keep the probe that the best model was trained from, for the recipe."""
    best = state.best
    probed = state.of(best.candidate, "linear probe")
    (output / PROBE).unlink(missing_ok=True)
    if probed is not None and best != probed:
        copy(output / probed.checkpoint, output / PROBE)


def copy(file: Path, to: Path) -> None:
    with draft_of(to) as draft:
        shutil.copyfile(file, draft)


def save_for_timm(network: nn.Module, origin: Origin, output: Path) -> bool:
    """config.json and model.safetensors, which `timm.create_model("local-dir:…")` loads; whether timm has the network.

    Only networks of timm by name can be built again by timm.
    """
    if origin.architecture.name is None:
        return False
    rule = origin.input
    try:
        save_for_hf(
            network,
            str(output),
            model_config={"label_names": list(origin.classes)},
            safe_serialization=True,
            data_config={
                "input_size": (3, rule.size, rule.size),
                "mean": rule.mean,
                "std": rule.std,
                "crop_pct": 1.0,
                "crop_mode": {"squash": "squash", "crop": "center", "pad": "border"}[rule.resize],
                "interpolation": "bilinear",
            },
        )
    except SafetensorError as fault:  # such as a full disk
        raise VitrailError(f"{output / 'model.safetensors'}: {fault}") from fault
    (output / "model.safetensors").chmod((output / "config.json").stat().st_mode)  # safetensors writes for its owner
    return True
