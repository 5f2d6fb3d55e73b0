"""The model file: its contract, its check, and that nothing is written if the check fails."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.errors import ModelError, ParityError
from vitrail.exporting import model_file as file
from vitrail.exporting.calibration import calibration_error
from vitrail.exporting.graph import Graph, to_onnx
from vitrail.exporting.model_file import refuse_too_large
from vitrail.exporting.parity import BATCHES, Proof, by_file, by_network, prove, refuse_differences
from vitrail.images.canvas import InputRule, Resize, to_canvas
from vitrail.model_file.card import METADATA_KEY, Card, Parity
from vitrail.model_file.classifier import Classifier
from vitrail.models import CNN, Architecture, ViT
from vitrail.models.checkpoint import read_checkpoint

CANVASES = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), np.uint8)


def graph_of(architecture: Architecture, rule: InputRule, temperature: float = 1.0) -> Graph:
    torch.manual_seed(0)
    return Graph(architecture.build(10, rule.size), rule, temperature).eval()


def session_of(graph: Graph) -> ort.InferenceSession:
    return ort.InferenceSession(to_onnx(graph), providers=["CPUExecutionProvider"])


def test_the_file_keeps_its_contract(model_file: Path) -> None:
    model = onnx.load(model_file)
    assert model.opset_import[0].version >= 20
    (image,) = model.graph.input
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    sides = image.type.tensor_type.shape.dim
    assert [bool(side.dim_param) for side in sides] == [True, True, True, False]
    assert sides[3].dim_value == 3
    outputs = {output.name: output.type.tensor_type for output in model.graph.output}
    assert list(outputs) == ["probabilities", "logits", "embedding"]
    assert {kind.elem_type for kind in outputs.values()} == {onnx.TensorProto.FLOAT}
    assert [kind.shape.dim[1].dim_value for kind in outputs.values()] == [10, 10, 64]
    assert not [tensor for tensor in model.graph.initializer if tensor.external_data]


def test_the_card_has_the_measured_values(model_file: Path, checkpoint: Path) -> None:
    card = Classifier(model_file).card
    network, origin = read_checkpoint(checkpoint)
    assert card.classes == Digits.classes
    assert card.input == origin.input
    assert card.parameters == sum(weights.numel() for weights in network.parameters())
    assert (card.dataset.name, card.dataset.train, card.dataset.test) == ("digits", 1151, 359)
    assert card.parity.images == 359
    assert card.parity.flips == 0
    assert card.parity.max_logit_error <= 1e-4 * max(1.0, card.parity.logit_sd)
    assert card.versions["torch"]


def test_the_card_has_the_calibration_errors(model_file: Path) -> None:
    classifier = Classifier(model_file)
    calibration = classifier.card.calibration
    assert calibration is not None
    images = Digits().read("test", classifier.card.input)
    outputs = classifier.predict(images.images)
    expected = torch.from_numpy(outputs.logits / calibration.temperature).softmax(dim=1).numpy()
    np.testing.assert_allclose(outputs.probabilities, expected, atol=1e-6)
    assert calibration.images == 287
    for error, temperature in ((calibration.error_before, 1.0), (calibration.error_after, calibration.temperature)):
        assert error == pytest.approx(calibration_error(outputs.logits, images.labels, temperature), abs=1e-5)


def test_whole_digits_equal_their_canvases(model_file: Path) -> None:
    whole = Classifier(model_file).card.whole
    assert whole is not None
    assert (whole.images, whole.flips) == (200, 0)
    assert whole.max_probability_difference is not None
    assert whole.max_probability_difference < 1e-5


def test_floating_point_operations_are_those_of_the_layers(model_file: Path) -> None:
    """Convolutions of width 32 on 8×8, then 64 on 4×4, and the head; twice for multiply and add."""
    stem, first = 3 * 9 * 32 * 64, 2 * 32 * 9 * 32 * 64
    second, shortcut, head = (32 * 9 * 64 + 64 * 9 * 64) * 16, 32 * 64 * 16, 64 * 10
    assert Classifier(model_file).card.flops == 2 * (stem + first + second + shortcut + head)


def test_accuracy_through_the_file_is_that_of_vitrail_test(
    model_file: Path, run_directory: Path, checkpoint: Path
) -> None:
    assert main(["test", f"--ckpt_path={checkpoint}"]) == 0
    saved = np.load(run_directory / "predictions.npz")
    classifier = Classifier(model_file)
    images = Digits().read("test", classifier.card.input)
    probabilities = classifier.predict(images.images).probabilities
    assert np.array_equal(probabilities.argmax(1), saved["probabilities"].argmax(1))
    card = classifier.card
    assert card.calibration is not None
    tempered = saved["probabilities"] ** (1 / card.calibration.temperature)
    np.testing.assert_allclose(probabilities, tempered / tempered.sum(axis=1, keepdims=True), atol=1e-5)
    hits = int((saved["probabilities"].argmax(1) == saved["labels"]).sum())
    assert card.test_accuracy is not None
    assert (card.test_accuracy.hits, card.test_accuracy.total) == (hits, 359)


def test_a_real_photo_in_the_graph_and_fitted_before_it_nearly_agree(model_file: Path) -> None:
    """The second path, for other apps: the whole array resized in the graph instead of by Pillow."""
    classifier = Classifier(model_file)
    for whole in load_sample_images().images:
        canvas = to_canvas(Image.fromarray(whole), classifier.card.input)
        in_graph, before = (classifier.predict(image[None]).probabilities for image in (whole, canvas))
        assert np.abs(in_graph - before).max() < 0.02


@pytest.mark.parametrize(
    ("architecture", "size"),
    [
        (ViT(patch=2, width=32, depth=2, heads=4), 8),
        (ViT(patch=2, width=32, depth=2, heads=4, pool="map"), 8),
        (ViT(patch=2, width=32, depth=2, heads=4, stem="conv", positions="conditional"), 8),
        (CNN(width=8, stages=2, blocks=1), 8),
        (CNN(width=8, stages=2, blocks=1, layers={"name": "attention", "sharpness": 2}), 8),
        *(
            pytest.param(architecture, 32, marks=pytest.mark.long)
            for architecture in (ViT(name="vit_tiny_patch16_224"), CNN(name="resnet10t"), CNN(name="convnext_atto"))
        ),
    ],
    ids=lambda value: getattr(value, "name", None) or type(value).__name__,
)
def test_every_kind_of_network_gives_torchs_outputs(architecture: Architecture, size: int) -> None:
    graph = graph_of(architecture, InputRule(size))
    canvases = np.random.default_rng(0).integers(0, 256, (20, size, size, 3), np.uint8)
    parity = prove(graph, to_onnx(graph), canvases).parity
    assert parity.max_logit_error <= 1e-5
    assert parity.flips == 0


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_every_rule_gives_torchs_outputs_at_every_size(resize: Resize) -> None:
    graph = graph_of(CNN(width=8, stages=2, blocks=1), InputRule(8, resize))
    session = session_of(graph)
    for shape in ((8, 8), (8, 24), (33, 16), (5, 7)):
        images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), np.uint8)
        np.testing.assert_allclose(by_file(session, images), by_network(graph, images), atol=1e-5)


def test_outputs_do_not_depend_on_the_batch() -> None:
    session = session_of(graph_of(ViT(patch=2, width=32, depth=2, heads=4), InputRule(8)))
    alone = np.concatenate([by_file(session, canvas[None]) for canvas in CANVASES[:7]])
    for size in BATCHES:
        np.testing.assert_allclose(by_file(session, CANVASES[:size]), alone[:size], atol=1e-5)


def test_probabilities_are_logits_at_the_temperature() -> None:
    session = session_of(graph_of(CNN(width=8, stages=2, blocks=1), InputRule(8), temperature=2.5))
    probabilities, logits, _ = session.run(None, {"image": CANVASES})
    expected = torch.from_numpy(logits / 2.5).softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("count", [1, *(pytest.param(count, marks=pytest.mark.long) for count in (3, 65))])
def test_few_images_verify_every_batch_size_too(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(CNN(width=8, stages=2, blocks=1), InputRule(8))
    batch_sizes: list[int] = []

    def watched(session: ort.InferenceSession, images: np.ndarray) -> np.ndarray:
        batch_sizes.append(len(images))
        return by_file(session, images)

    monkeypatch.setattr("vitrail.exporting.parity.by_file", watched)
    assert prove(graph, to_onnx(graph), CANVASES[:count]).parity.images == count
    assert set(BATCHES) <= set(batch_sizes)


def test_a_file_with_other_outputs_is_refused() -> None:
    graph = graph_of(CNN(width=8, stages=2, blocks=1), InputRule(8))
    model = to_onnx(graph)
    with torch.no_grad():
        next(iter(graph.network.parameters()))[0] += 0.01
    with pytest.raises(ParityError, match="differ by"):
        prove(graph, model, CANVASES)


def drawn_proof(margin: float, bound: float) -> Proof:
    """Two outputs with different labels; the network's two best logits lie `margin` apart."""
    expected = np.array([[margin, 0.0, -3.0]], np.float32)
    actual = np.array([[0.0, margin, -3.0]], np.float32)
    return Proof(Parity(1, bound / 2, bound / 2, 1.0, 1, 0.0), expected, actual)


def test_a_label_may_change_only_where_rounding_can_change_it() -> None:
    refuse_differences(drawn_proof(margin=1.9e-4, bound=1e-4))
    with pytest.raises(ParityError, match="changes the predictions of 1 of 1 test images"):
        refuse_differences(drawn_proof(margin=2.1e-4, bound=1e-4))


def test_a_network_too_large_for_one_file_is_refused_before_any_work() -> None:
    network = torch.nn.Module()
    network.register_buffer("weights", torch.zeros(1).expand(600_000_000))
    with pytest.raises(ModelError, match=r"2\.4 GB, and one ONNX file holds 2 GB"):
        refuse_too_large(network)


def test_a_network_in_training_mode_is_refused() -> None:
    with pytest.raises(ModelError, match="training mode"):
        to_onnx(graph_of(CNN(width=8, stages=2, blocks=1), InputRule(8)).train())


def test_a_failed_check_leaves_the_old_file(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.onnx"
    output.write_text("an older model")
    monkeypatch.setattr("vitrail.exporting.parity.BOUND", 0.0)
    assert main(["export", "--checkpoint", str(checkpoint), "--output", str(output)]) == 1
    assert "logits of the file differ" in capsys.readouterr().err
    assert output.read_text() == "an older model"
    assert list(tmp_path.iterdir()) == [output]


def test_a_card_with_wrong_golden_outputs_is_never_written(model_file: Path, tmp_path: Path) -> None:
    model = onnx.load(model_file)
    (entry,) = [entry for entry in model.metadata_props if entry.key == METADATA_KEY]
    card = json.loads(entry.value)
    card["golden"]["logits"][2][0] += 1.0
    del model.metadata_props[:]
    with pytest.raises(ParityError, match="logits of canvases"):
        file.write_file(tmp_path / "model.onnx", model.SerializeToString(), Card.from_json(json.dumps(card)))
    assert not list(tmp_path.iterdir())


def test_images_of_other_classes_are_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(CANVASES[number]).save(tmp_path / "pets" / kind / f"{number}.png")
    command = ["export", "--checkpoint", str(checkpoint), f"--data.path={tmp_path / 'pets'}"]
    assert main([*command, "--output", str(tmp_path / "model.onnx")]) == 1
    assert "pets has other classes than the checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "model.onnx").exists()


def test_moved_images_are_read_from_the_given_path(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--checkpoint", str(checkpoint), "--data.path=nowhere"]) == 1
    assert "there is no folder of images at nowhere" in capsys.readouterr().err
