"""The examples of docs/python.md, docs/attention.md and of the docstrings of public names, run as written."""

import doctest
import re
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitrail
from vitrail.data import Digits
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule

PAGE = Path(__file__).parents[1] / "docs/python.md"
GRAPHS = PAGE.with_name("attention.md")
NAMES = ("load", "Model", "Explanation", "patchify", "ViT", "CNN")  # `export` makes the file that the others read


@pytest.fixture(scope="module")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of a reader: `model.onnx` by the example of `export`, and images."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copy(checkpoint, folder / "best.ckpt")
    digits = Digits().read("test", InputRule(8))
    (folder / "photos").mkdir()
    for number, image in enumerate(digits.images[:3]):
        Image.fromarray(image).save(folder / f"photos/{number}.jpg")
    Image.fromarray(digits.images[0]).resize((50, 40)).save(folder / "photo.jpg")
    with chdir(folder):
        assert failures_of("export", {}) == 0
        with vitrail.load("model.onnx", "cpu") as model:
            for name, digit in (("three", 3), ("five", 5)):
                images = digits.images[digits.labels == digit]
                surest = max(model.classify(images), key=lambda one: one.probability * (one.label == str(digit)))
                Image.fromarray(images[model.classify(images).index(surest)]).save(f"{name}.png")
        yield folder


def test_the_encoder_of_a_graph_runs() -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", GRAPHS.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    encoder, atoms, seen = names["encoder"], names["atoms"], names["seen"]
    assert names["outputs"].shape == (2, 6, 32)
    other = torch.where(seen.unsqueeze(2), atoms, 7.0)
    outputs = encoder(other, seen[:, None, None])
    torch.testing.assert_close(outputs[seen], names["outputs"][seen], atol=1e-6, rtol=0)
    atoms.requires_grad_()
    encoder(atoms, seen[:, None, None])[0, 0].sum().backward()
    assert (atoms.grad[0].abs().sum(dim=1) > 0).tolist() == [
        True,
        True,
        True,
        False,
        True,
        True,
    ]  # two edges in two blocks


def failures_of(name: str, given: dict[str, Any]) -> int:
    """How many examples of a public name, and of its methods, print something else."""
    known = {"vitrail": vitrail, "torch": torch, "np": np, **given}
    found = doctest.DocTestFinder(exclude_empty=True).find(getattr(vitrail, name), name, module=False, globs=known)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in found:
        runner.run(example)
    assert runner.summarize(verbose=False).attempted > 0
    return runner.failures


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_docstrings_print_what_they_say(name: str, folder: Path) -> None:
    with vitrail.load("model.onnx", "cpu") as model:
        assert failures_of(name, {"model": model}) == 0


def test_an_example_that_prints_something_else_fails() -> None:
    def wrong() -> None:
        """
        >>> 1 + 1
        3
        """

    (example,) = doctest.DocTestFinder().find(wrong, "wrong", module=False, globs={})
    assert doctest.DocTestRunner().run(example, out=lambda text: None).failed == 1


def test_the_examples_of_the_page_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == str(names["prediction"])
    assert [line.split()[0] for line in printed[2:5]] == ["0.jpg", "1.jpg", "2.jpg"]
    assert printed[5:] == ["(4, 4) exact", "torch.Size([1, 64, 48])"]
    model = names["model"]
    first, second = model.explain(["photo.jpg", "photos/1.jpg"])
    assert (first.label, second.label) == tuple(one.label for one in model.classify(["photo.jpg", "photos/1.jpg"]))
    np.testing.assert_allclose(first.evidence, names["explanation"].evidence, atol=1e-5)
    with pytest.raises(UsageError, match="has no label 'cat'"):
        model.explain("photo.jpg", label="cat")
