"""Graphs from the file to the model file: nodes with their edges, parts, and labels that edges alone tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitrail.cli import main
from vitrail.data import open_source
from vitrail.data.graphs import Graphs
from vitrail.data.source import PARTS
from vitrail.errors import DataError
from vitrail.images.canvas import InputRule
from vitrail.images.golden import golden_images
from vitrail.model_file.classifier import Classifier

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "graphs" / "graphs.yaml"
PAIR = "2 {label}\n3 1 1\n8 1 0"
ALONE = "1 {label}\n8 0"
RULE = InputRule(12, "native", width=3, edges=1)


def listing(graphs: list[str]) -> str:
    return "\n".join([str(len(graphs)), *graphs])


def ring(label: int, random: np.random.Generator) -> str:
    """Nodes of two tags, as many of each; those of a tag are together (0), or every other one (1)."""
    half = int(random.integers(5, 9))
    tags = [0] * half + [1] * half if label == 0 else [0, 1] * half
    order = random.permutation(2 * half)  # the number of each node of the ring
    lines = [""] * len(tags)
    for place, tag in enumerate(tags):
        lines[order[place]] = f"{tag} 2 {order[place - 1]} {order[(place + 1) % len(tags)]}"
    return "\n".join([f"{len(tags)} {label}", *lines])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Pairs and single nodes, ten of each."""
    path = tmp_path / "graphs.txt"
    path.write_text(listing([PAIR.format(label=7), ALONE.format(label=-1)] * 10))
    return path


def test_a_node_is_its_tag_and_its_neighbours(file: Path) -> None:
    source = open_source(f"graphs:{file}", 0)
    assert (source.task, source.classes, source.width, source.edges) == ("classification", ("-1", "7"), 3, 1)
    assert {part: len(source.labels(part)) for part in PARTS} == {"train": 12, "val": 4, "test": 4}
    samples = source.read("train", RULE)
    for name, label, nodes in zip(samples.names, samples.labels, samples.images, strict=True):
        assert nodes.dtype == np.float32
        assert nodes.tolist() == ([[1, 0, 1], [0, 1, 0]] if label == 1 else [[0, 1, -1]])
        assert file.read_text().splitlines()[int(name.split(":")[1]) - 1] == ("2 7" if label == 1 else "1 -1")


def test_a_folder_has_a_file_for_each_part(tmp_path: Path) -> None:
    pairs, others = [PAIR.format(label=0), ALONE.format(label=1)], [PAIR.format(label=1), ALONE.format(label=0)]
    (tmp_path / "train.txt").write_text(listing(pairs * 5))
    (tmp_path / "test.txt").write_text(listing(others * 3))
    source = open_source(f"graphs:{tmp_path}", 0)
    assert {part: len(source.labels(part)) for part in PARTS} == {"train": 8, "val": 2, "test": 6}
    assert all(name.startswith("test.txt:") for name in source.read("test", RULE).names)


def test_graphs_are_known_by_tags_and_edges(file: Path) -> None:
    before = open_source(f"graphs:{file}", 0)
    assert open_source(f"graphs:{file}", 1).fingerprint == before.fingerprint
    file.write_text(file.read_text().replace("3 1 1\n8 1 0", "3 1 1\n3 1 0", 1))
    assert open_source(f"graphs:{file}", 0).fingerprint != before.fingerprint


def test_graphs_without_any_edge_are_sets(tmp_path: Path) -> None:
    path = tmp_path / "graphs.txt"
    path.write_text(listing([ALONE.format(label=label) for label in (0, 1)] * 5))
    assert Graphs(path).nodes(0).tolist() == [[1, -1]]


def test_a_graph_of_more_nodes_than_the_size_and_a_missing_file_are_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"graphs.txt:\d+ has 2 nodes, and --data.size is 1"):
        open_source(f"graphs:{file}", 0).read("train", InputRule(1, "native", width=3, edges=1))
    with pytest.raises(DataError, match=r"no file of graphs at .*, and no folder with train.txt"):
        open_source(f"graphs:{tmp_path}", 0)


@pytest.fixture(scope="module")
def folder(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """`rings.txt`, a run over edges, its `model.onnx`, and a run without edges."""

    def fill(path: Path) -> None:
        random = np.random.default_rng(0)
        (path / "rings.txt").write_text(listing([ring(number % 2, random) for number in range(400)]))
        for run, options in (("run", []), ("blind", ["--model.net.attention=softmax", "--trainer.max_steps=40"])):
            assert main([*fit(path), f"--run={path / run}", *options]) == 0
        checkpoint = f"--checkpoint={path / 'run/checkpoints/best.ckpt'}"
        data = f"--data.path=graphs:{path / 'rings.txt'}"
        assert main(["export", checkpoint, data, f"--output={path / 'model.onnx'}"]) == 0

    return made_once("rings", fill)


def fit(path: Path) -> list[str]:
    few = ["--trainer.max_steps=80", "--trainer.val_check_interval=20", "--model.net.depth=2", "--data.size=16"]
    return ["fit", f"--config={EXAMPLE}", *few, f"--data.path=graphs:{path / 'rings.txt'}"]


def accuracy(run: Path, data: str) -> float:
    assert main(["test", f"--ckpt_path={run / 'checkpoints/best.ckpt'}", data]) == 0
    predictions = np.load(run / "predictions.npz")
    return float((predictions["probabilities"].argmax(axis=1) == predictions["labels"]).mean())


def test_edges_tell_what_counting_tags_cannot(folder: Path) -> None:
    data = f"--data.path=graphs:{folder / 'rings.txt'}"
    assert accuracy(folder / "run", data) > 0.95
    assert accuracy(folder / "blind", data) < 0.65


def test_the_file_takes_edges_and_has_the_same_outputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder / "model.onnx")]) == 0
    assert "logits of sets" in capsys.readouterr().out
    model, source = Classifier(folder / "model.onnx"), Graphs(folder / "rings.txt")
    assert (model.card.input.width, model.card.input.edges, model.card.parity.flips) == (4, 2, 0)
    graphs: list[Any] = [source.nodes(row) for row in range(20)]
    assert len({len(graph) for graph in graphs}) > 2
    together = model.predict(graphs)
    assert (together.probabilities.argmax(axis=1) == np.arange(20) % 2).mean() > 0.9
    for row, graph in zip(together.logits, graphs, strict=True):
        assert model.predict([graph]).logits[0] == pytest.approx(row, abs=1e-5)
    golden = golden_images(model.card.input)
    expected = model.predict(golden).logits
    for graph in golden:  # the check would notice a file that overlooks edges
        graph[:, 2:] = -1
    assert abs(model.predict(golden).logits - expected).max() > 0.1
    graphs[1][:, 2:] = -1  # without its edges it is as one of the other class, or of none
    assert model.predict([graphs[1]]).logits[0] != pytest.approx(together.logits[1], abs=0.1)
