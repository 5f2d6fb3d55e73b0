"""README.md of a build: the model card, with which the folder is a repository of the Hugging Face Hub."""

import json
from collections.abc import Iterator

from vitrail.training.build.clock import minutes
from vitrail.training.build.outcome import Outcome, percent
from vitrail.training.build.provenance import provenance


def model_card(outcome: Outcome) -> str:
    return "\n\n".join([front_matter(outcome), *paragraphs(outcome)]) + "\n"


def front_matter(outcome: Outcome) -> str:
    """What the Hub reads; texts are quoted as in JSON, which YAML takes."""
    top1 = outcome.tested.top1
    name = json.dumps(outcome.card.dataset.name, ensure_ascii=False)
    lines = [
        "---",
        "tags: [image-classification, vitrail]",
        "pipeline_tag: image-classification",
        *(["library_name: timm"] if outcome.in_timm else []),
        "model-index:",
        f"  - name: {json.dumps(outcome.plan.output.resolve().name, ensure_ascii=False)}",
        "    results:",
        "      - task: {type: image-classification}",
        f"        dataset: {{name: {name}, type: {name}}}",
        f"        metrics: [{{type: accuracy, value: {top1.value:.4f}}}]",
        "---",
    ]
    return "\n".join(lines)


def paragraphs(outcome: Outcome) -> Iterator[str]:
    card, best, tested = outcome.card, outcome.state.best, outcome.tested
    data = card.dataset
    yield f"# {outcome.plan.output.resolve().name}"
    yield (
        f"Classifies images into {len(card.classes)} classes: {', '.join(card.classes[:20])}"
        + (f" and {len(card.classes) - 20} more" if len(card.classes) > 20 else "")
        + f". {best.candidate} ({best.family}), {best.stage}, made by `vitrail build`."
    )
    yield (
        f"**Test accuracy {percent(tested.top1)}**, macro-F1 {tested.macro_f1:.3f}, on {data.test:,} images that took "
        f"no part in training ({data.train:,} images) or choice ({data.val:,} images). `report.html` shows each class, "
        "what was compared, and labels that are likely wrong."
    )
    yield "\n".join(comparison(outcome))
    yield "## Use"
    yield '```python\nimport vitrail\n\nwith vitrail.load(".") as model:\n    print(model.classify("photo.jpg"))\n```'
    yield "```sh\nvitrail serve .\n```"
    yield (
        "`model.onnx` runs wherever onnxruntime does: its input `image` is uint8 `[N, height, width, 3]`, RGB, of any "
        "size, and its output `probabilities` is `[N, classes]`."
    )
    if outcome.in_timm:
        yield (
            "With timm, on images resized to "
            f"{card.input.size} × {card.input.size} ({card.input.resize}):\n\n"
            '```python\nimport timm\n\nnetwork = timm.create_model("local-dir:.", pretrained=True)\n```'
        )
    yield "## Limits"
    yield (
        "It names one of its classes for whatever it is shown"
        + (
            f"; a probability under {card.abstention.threshold:.2f} is better read as none of them"
            if card.abstention
            else ""
        )
        + ". The accuracy holds for images like those of the test; others are not measured. "
        + provenance(outcome.weights)
    )
    yield (
        f"Made in {minutes(outcome.state.seconds)} with "
        f"{', '.join(f'{name} {version}' for name, version in card.versions.items())}. `recipe.yaml` says how to "
        "train it again, `best.ckpt` is a checkpoint, `check.html` lists faults of the images."
    )


def comparison(outcome: Outcome) -> Iterator[str]:
    """Every trained model on the validation images."""
    yield "| model | | validation accuracy |"
    yield "|---|---|---|"
    for one in sorted(outcome.state.trained, key=lambda one: -one.hits):
        mark = "**" if one == outcome.state.best else ""
        yield f"| {mark}{one.candidate}{mark} ({one.family}) | {one.stage} | {percent(one.accuracy)} |"
