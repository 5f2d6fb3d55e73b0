"""A card as text."""

from vitrail.images.canvas import InputRule
from vitrail.model_file.card import Abstention, Calibration, Card, Dataset, InOpenVINO, Precision, WholeImageParity
from vitrail.tasks import TASKS

SHOWN_CLASSES = 8


def summary(card: Card) -> str:
    """One fact a line, the most important first."""
    width = max(len(name) for name, _ in facts(card))
    return "\n".join(f"{name:<{width}}  {fact}" for name, fact in facts(card))


def facts(card: Card) -> list[tuple[str, str]]:
    dataset = card.dataset
    return [
        ("task", card.task),
        ("values" if card.units else "classes", class_list(card.classes)),
        *accuracy(card),
        *((f"test {measure.name}", f"{measure}, 95 % interval") for measure in card.measures),
        ("input", image_input(card.input)),
        ("architecture", architecture(card)),
        ("size", f"{card.parameters:,} parameters, {card.flops / 1e6:,.1f} MFLOP an image"),
        (
            "trained on",
            f"{dataset.name}: {dataset.train:,} training images, {dataset.val:,} for validation{subset(dataset)}; "
            f"{dataset.test:,} for test",
        ),
        ("fingerprint", f"{dataset.fingerprint[:16]}… (split seed {dataset.seed}, training seed {card.seed})"),
        ("parity", agreement(card)),
        *([("resized", whole_images(card.whole))] if card.whole else []),
        *calibration(card.calibration),
        *abstention(card.abstention),
        ("precision", precision(card)),
        *((f"  {compared.kind}", precision_line(compared)) for compared in card.precisions),
        *([("OpenVINO bf16", openvino_line(card.openvino))] if card.openvino else []),
        ("made", f"{card.created} with " + ", ".join(f"{name} {number}" for name, number in card.versions.items())),
    ]


def image_input(rule: InputRule) -> str:
    if rule.width is not None:
        edges = f", of which the last {rule.edges} are neighbours" if rule.edges else ""
        return f"sets of 1 to {rule.size:,} vectors, float32 [T, {rule.width}]{edges}"
    if rule.is_native:
        return f"images at their own shapes, as at most {rule.vectors:,} patches of {rule.patch}×{rule.patch} (native)"
    return f"any uint8 RGB image, made {rule.size}×{rule.size} ({rule.resize})"


def subset(dataset: Dataset) -> str:
    return "" if dataset.images is None else f" (subset {dataset.draw} of {dataset.images:,})"


def results(card: Card) -> list[str]:
    """Test metrics as short texts."""
    accuracy = [f"test accuracy {card.test_accuracy}"] if card.test_accuracy else []
    return [*accuracy, *(f"{measure.name} {measure}" for measure in card.measures)]


def accuracy(card: Card) -> list[tuple[str, str]]:
    share, counted = card.test_accuracy, TASKS[card.task].counted
    return [("test accuracy", f"{share} on {share.total:,} {counted}, 95 % interval")] if share else []


def whole_images(whole: WholeImageParity) -> str:
    by_graph = "by the graph instead of before it: "
    if whole.max_probability_difference is None:
        return f"{by_graph}values of {whole.images:,} images within {whole.max_value_difference:.3f} deviations"
    return (
        f"{by_graph}{whole.flips} of {whole.images:,} labels changed, "
        f"probabilities within {whole.max_probability_difference:.3f}"
    )


def calibration(fitted: Calibration | None) -> list[tuple[str, str]]:
    if fitted is None:
        return []
    fact = (
        f"temperature {fitted.temperature:.3f} from {fitted.images:,} images: "
        f"error {fitted.error_before:.4f} before, {fitted.error_after:.4f} after"
    )
    return [("calibration", fact)]


def abstention(fitted: Abstention | None) -> list[tuple[str, str]]:
    if fitted is None:
        return []
    fact = (
        f"none of these below {fitted.threshold:.3f}: coverage {fitted.coverage} of test images, "
        f"selective accuracy {fitted.selective_accuracy}"
    )
    return [("abstention", fact)]


def precision(card: Card) -> str:
    return card.precision + (", weights averaged over training steps" if card.averaged_weights else "")


def precision_line(compared: Precision) -> str:
    """One precision's size, speed and cost."""
    speed = ", ".join(f"{times:.2f}× at batch {size}" for size, times in compared.speed.items())
    return (
        f"{compared.bytes / 1e6:,.1f} MB, {speed} (times float32), accuracy {compared.accuracy}, "
        f"loss {100 * compared.loss:.2f} points, under {100 * compared.loss_bound:.2f}: {compared.verdict}"
    )


def openvino_line(compared: InOpenVINO) -> str:
    """How the file does in OpenVINO, beside onnxruntime."""
    speed = ", ".join(f"{times:.2f}× at batch {size}" for size, times in compared.speed.items())
    return (
        f"{speed} (times onnxruntime), accuracy {compared.accuracy}, {compared.flips} labels flip, "
        f"loss {100 * compared.loss:.2f} points, under {100 * compared.loss_bound:.2f}: {compared.verdict}"
    )


def class_list(classes: tuple[str, ...]) -> str:
    shown = ", ".join(classes[:SHOWN_CLASSES])
    more = len(classes) - SHOWN_CLASSES
    return f"{len(classes)}: {shown}" + (f" and {more} more" if more > 0 else "")


def agreement(card: Card) -> str:
    """Differences from the network."""
    parity = card.parity
    if card.units:
        return f"values within {parity.max_logit_error:.1e} deviations of the network's, on {parity.images:,} images"
    within = f"logits within {parity.max_logit_error:.1e} of the network's"
    return f"{within}, {parity.flips} labels changed, on {parity.images:,} images"


def architecture(card: Card) -> str:
    """The class and what decides its shape: a name where it has one, its sizes otherwise."""
    kind, choices = card.architecture["class_path"].rpartition(".")[2], card.architecture["init_args"]
    if choices.get("name"):
        return f"{kind} ({choices['name']})"
    sizes = {key: value for key, value in choices.items() if key not in ("name", "pretrained")}
    return f"{kind} ({', '.join(f'{key} {value}' for key, value in sizes.items())})" if sizes else kind
