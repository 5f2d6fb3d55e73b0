"""What the numbers of images say: classes that are empty, rare, or never tested."""

from collections.abc import Iterator, Sequence

from vitrail.data.check.findings import EXAMPLES, ClassCount, Example, Finding

UNEVEN = 10  # times as many training images in the largest class as in the smallest
FEW = 10  # training images


def of_classes(classes: Sequence[ClassCount]) -> Iterator[Finding]:
    trained = [one for one in classes if one.train]
    is_split = any(one.test for one in classes)
    yield from imbalance(trained)
    yield from named(
        [one for one in classes if not one.total], "classes without images", "fill or remove their folders"
    )
    yield from named(
        [one for one in classes if 0 < one.train < FEW],
        f"classes with fewer than {FEW} training images",
        "collect more, or merge classes",
    )
    yield from named(
        [one for one in trained if is_split and not one.test],
        "classes without test images, of which nothing will be known",
        "move some of their images into the test part",
    )


def imbalance(trained: Sequence[ClassCount]) -> Iterator[Finding]:
    if not trained:
        return
    ranked = sorted(trained, key=lambda one: one.train)
    smallest, largest = ranked[0], ranked[-1]
    ratio = largest.train / smallest.train
    if ratio >= UNEVEN:
        text = (
            f"the largest class has {ratio:,.0f} times as many training images as the smallest: "
            f"'{largest.name}' {largest.train:,}, '{smallest.name}' {smallest.train:,}"
        )
        advice = "collect more of the rare ones, or fit with --model.balance logit_adjust; trust macro-F1, not accuracy"
        yield Finding("imbalance", "warning", text, advice)


def named(found: Sequence[ClassCount], text: str, advice: str) -> Iterator[Finding]:
    if found:
        examples = tuple(Example((), one.name) for one in found[:EXAMPLES])
        yield Finding("small classes", "warning", f"{text}: {len(found):,}", advice, len(found), examples)
