"""report.html: what was compared and chosen, the test, each class, likely wrong labels, how it was made."""

from collections.abc import Iterator
from html import escape

import numpy as np

from vitrail.data.check.inline import inline_image
from vitrail.data.check.text import printable
from vitrail.plots.blocks import facts, section, table
from vitrail.plots.chart import Line, line_chart
from vitrail.plots.confusion import matrix_table, pairs_table
from vitrail.plots.document import document
from vitrail.plots.markup import element, text, with_code
from vitrail.runtime.machine import cpu_name
from vitrail.training.build.clock import minutes
from vitrail.training.build.outcome import Mislabeled, Outcome, percent, percent_of
from vitrail.training.build.state import Trained

MATRIX = 20  # classes whose confusion matrix is drawn
PAIRS = 10  # most confused pairs that are listed
ISSUES = 60  # likely wrong labels that are shown
SIDE = 112  # of their images


def report(outcome: Outcome) -> str:
    body = [header(outcome), *sections(outcome)]
    return document(f"Build of {printable(outcome.plan.path)}", *body)


def header(outcome: Outcome) -> str:
    best, top1 = outcome.state.best, outcome.tested.top1
    sentence = (
        f"{best.candidate} ({best.family}, {best.stage}) classifies {percent(top1)} of {top1.total:,} test images "
        f"correctly; it was chosen on {best.total:,} other images among {len(outcome.state.trained)} models"
    )
    figures = [
        (
            "Macro-F1",
            f"{outcome.tested.macro_f1:.3f} [{outcome.tested.macro_f1_low:.3f}, {outcome.tested.macro_f1_high:.3f}]",
        ),
        (f"Top-{outcome.tested.top_k}", percent(outcome.tested.top5)),
        ("Always the largest class", percent_of(majority(outcome))),
    ]
    return element(
        "header",
        element("h1", text(printable(outcome.plan.path))),
        element("p", text(sentence), class_="decision"),
        facts(figures),
    )


def majority(outcome: Outcome) -> float:
    """The accuracy on the test images of always naming the largest class of the training images."""
    largest = int(np.argmax([one.train for one in outcome.checked.report.classes]))
    return float(outcome.confusion[largest].sum() / outcome.confusion.sum())


def sections(outcome: Outcome) -> Iterator[str]:
    yield section("What was compared", models(outcome), curves(outcome.state.trained))
    yield section("Each class, on the test images", classes(outcome), *confusions(outcome))
    if any(one.stage == "linear probe" for one in outcome.state.trained):
        yield section("Labels that are likely wrong", *mislabeled(outcome))
    yield section("How it was made", facts(origin(outcome)))


def models(outcome: Outcome) -> str:
    """Every trained model on the validation images, the chosen one marked."""
    rows = [
        [
            element("b", text(one.candidate)) if one == outcome.state.best else text(one.candidate),
            text(one.family),
            text(one.stage + ("" if one.is_finished else " (stopped)")),
            text(percent(one.accuracy)),
            f"{one.steps:,}" if one.steps else "",
            minutes(one.seconds),
        ]
        for one in sorted(outcome.state.trained, key=lambda one: -one.hits)
    ]
    return table(["model", "", "", "validation accuracy", "steps", "minutes"], rows, words=3)


def curves(trained: tuple[Trained, ...]) -> str:
    """Validation accuracy while training, a line a model."""
    return "".join(curve(one) for one in trained if len(one.curve) > 1)


def curve(one: Trained) -> str:
    points = tuple((float(step), value) for step, value in one.curve)
    return line_chart(f"{one}: validation accuracy", [Line("", points)], is_share=True)


def classes(outcome: Outcome) -> str:
    rows = [
        [text(printable(one.label)), f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", f"{one.images:,}"]
        for one in sorted(outcome.tested.classes, key=lambda one: one.f1)
    ]
    return table(["class", "precision", "recall", "F1", "test images"], rows)


def confusions(outcome: Outcome) -> Iterator[str]:
    names, counts = outcome.card.classes, outcome.confusion
    wrong = counts - np.diag(np.diag(counts))
    order = [index for index in np.argsort(-wrong, axis=None, kind="stable")[:PAIRS].tolist() if wrong.flat[index]]
    if order:
        pairs = [divmod(index, len(names)) for index in order]
        yield pairs_table([(printable(names[a]), printable(names[b]), int(wrong[a, b])) for a, b in pairs])
    if len(names) <= MATRIX:
        yield matrix_table(counts, [printable(name) for name in names])


def mislabeled(outcome: Outcome) -> Iterator[str]:
    found = outcome.mislabeled
    if not found:
        yield element("p", "None among the training and validation images.")
        return
    yield element(
        "p",
        with_code(
            f"{len(found):,} training and validation images look like another class to a linear probe that was fitted "
            "without them (5 folds). Look at each: move the image where the label is wrong, leave it where it is right."
        ),
    )
    yield element("ul", *(card(outcome, one) for one in found[:ISSUES]), class_="groups")
    if len(found) > ISSUES:
        yield element("p", f"and {len(found) - ISSUES:,} more", class_="soft")


def card(outcome: Outcome, one: Mislabeled) -> str:
    caption = (
        f"{escape(printable(one.item.name))}<br>{text(printable(one.label))} → "
        f"<b>{text(printable(one.likely))}</b> {one.probability:.2f}"
    )
    image = inline_image(outcome.checked.listing, one.item, SIDE)
    return element("li", element("figure", image, element("figcaption", caption)))


def origin(outcome: Outcome) -> Iterator[tuple[str, str]]:
    card, plan = outcome.card, outcome.plan
    data = card.dataset
    yield "Images", f"{data.train:,} to train, {data.val:,} to choose, {data.test:,} to test; split seed {data.seed}"
    yield "Time", f"{minutes(outcome.state.seconds)} of {plan.minutes:g} minutes"
    yield "Machine", cpu_name()
    yield "Versions", ", ".join(f"{name} {version}" for name, version in card.versions.items())
    if card.calibration:
        fitted = card.calibration
        yield (
            "Calibration",
            f"temperature {fitted.temperature:.3f}, "
            f"error {fitted.error_before:.3f} before, {fitted.error_after:.3f} after",
        )
    yield (
        "Verified",
        f"file and network differ by {card.parity.max_logit_error:.1e} at most on {card.parity.images:,} images",
    )
