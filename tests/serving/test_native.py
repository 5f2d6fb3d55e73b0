"""Images at their own shapes, from the folder to the endpoint: each of a batch as alone, everywhere."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import vitrail
from vitrail.cli import main
from vitrail.data.draws import Draws
from vitrail.errors import UsageError
from vitrail.images import fit
from vitrail.images.canvas import InputRule
from vitrail.images.patches import Patches, images_of, patches_of
from vitrail.model_file.classifier import Classifier
from vitrail.models.input import together
from vitrail.training.augmentation import HorizontalFlip, augmented, augmented_sets
from vitrail.training.crops import RandomCrop
from vitrail.training.data_module import ImageDataModule
from vitrail.vectors.sets import VectorSet

from ..servers import Server, Start

SIZE, PATCH = 24, 4
CLASSES = ("lying", "standing")
SHAPES = {"panorama": (300, 60), "icon": (12, 12), "tall": (40, 110), "line": (400, 1)}
OPTIONS = [f"--data.size={SIZE}", "--data.resize=native", f"--data.patch={PATCH}"]
FIT = [
    "fit",
    "--config=digits-vit",
    *OPTIONS,
    "--data.batch_size=16",
    "--data.augment=[]",
    "--data.crop.scale=[0.7,1.0]",
    f"--model.net.patch={PATCH}",
    "--model.net.depth=2",
    "--model.net.stem=patches",
    "--model.net.positions=learned",
    "--model.mixup=0",
    "--trainer.max_steps=40",
    "--trainer.val_check_interval=20",
]


def striped(label: int, random: np.random.Generator) -> Image.Image:
    """Bars that lie or stand, on an image of any shape."""
    width, height = (int(side) for side in np.exp(random.uniform(np.log(20), np.log(120), 2)))
    waves = np.sin(np.arange((height, width)[label]) * random.uniform(0.7, 0.9) + random.uniform(0, 6)) * 90 + 127
    bars = np.broadcast_to(waves[:, None] if label == 0 else waves, (height, width))
    noise = random.normal(0, 10, (height, width, 3))
    return Image.fromarray((bars[..., None] + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def folder(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Images of two classes and many shapes in `images`, a run, and its `model.onnx`."""

    def fill(path: Path) -> None:
        random = np.random.default_rng(0)
        for label, name in enumerate(CLASSES):
            (path / "images" / name).mkdir(parents=True)
            for number in range(60):
                striped(label, random).save(path / "images" / name / f"{number}.png")
        assert main([*FIT, f"--data.path={path / 'images'}", f"--run={path / 'run'}"]) == 0
        checkpoint = path / "run/checkpoints/best.ckpt"
        export = ["export", f"--checkpoint={checkpoint}", f"--output={path / 'model.onnx'}"]
        assert main([*export, f"--data.path={path / 'images'}"]) == 0

    return made_once("native", fill)


@pytest.fixture(scope="session")
def model(folder: Path) -> Classifier:
    return Classifier(folder / "model.onnx")


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    """A panorama, an icon and others, as PNG."""
    random = np.random.default_rng(1)
    encoded = {}
    for name, (width, height) in SHAPES.items():
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(file, "PNG")
        encoded[name] = file.getvalue()
    return encoded


def test_it_learns_and_the_card_says_what_it_takes(model: Classifier) -> None:
    card = model.card
    assert (card.input.resize, card.input.size, card.input.patch) == ("native", SIZE, PATCH)
    assert card.test_accuracy is not None
    assert card.test_accuracy.value > 0.9
    assert card.whole is None
    assert card.parity.resized_max_logit_error is None
    assert [one.name for one in model.session.get_inputs()] == ["patches", "positions", "mask"]


def test_a_batch_of_mixed_shapes_is_each_alone_in_the_file(model: Classifier, files: dict[str, bytes]) -> None:
    canvases = [model.fit(data) for data in files.values()]
    assert len({canvas.shape for canvas in canvases}) == len(SHAPES)
    mixed = model.predict(canvases)
    for index, canvas in enumerate(canvases):
        alone = model.predict(canvas[None])
        assert np.abs(mixed.logits[index] - alone.logits[0]).max() < 1e-5
        assert np.abs(mixed.embedding[index] - alone.embedding[0]).max() < 1e-5


def test_padding_changes_nothing_in_the_file(model: Classifier, files: dict[str, bytes]) -> None:
    cut = patches_of([model.fit(files["icon"])], PATCH)
    inputs: dict[str, NDArray[Any]] = {"patches": cut.patches, "positions": cut.positions, "mask": cut.mask}
    padded = {name: np.pad(part, [(0, 0), (0, 9), (0, 0)][: part.ndim]) for name, part in inputs.items()}
    padded["patches"][:, -9:] = 200
    session: ort.InferenceSession = model.session
    assert np.abs(session.run(["logits"], padded)[0] - session.run(["logits"], inputs)[0]).max() < 1e-5


def test_python_takes_images_of_any_shape_together(folder: Path, files: dict[str, bytes]) -> None:
    with vitrail.load(folder / "model.onnx") as loaded:
        several = list(files.values())
        for each, data in zip(loaded.classify(several), several, strict=True):
            assert each.probability == pytest.approx(loaded.classify(data).probability, abs=1e-5)
        array = np.array(Image.open(io.BytesIO(files["tall"])))
        assert loaded.classify(array).probability == pytest.approx(loaded.classify(files["tall"]).probability, abs=1e-6)


@pytest.fixture(scope="module")
def served(start: Start, bentoml_serve: list[str], folder: Path) -> Iterator[Server]:
    with start(
        bentoml_serve, VITRAIL_MODEL=str(folder / "model.onnx"), VITRAIL_PROVIDER="cpu", VITRAIL_WAIT="60"
    ) as one:
        yield one


def test_one_request_holds_a_panorama_and_an_icon(
    served: Server, contract_client_of: Callable[[Server], httpx.Client], files: dict[str, bytes], model: Classifier
) -> None:
    with contract_client_of(served) as client:
        form = [("image", data) for data in [*files.values(), b"no image"]]
        response = client.post("/v1/classify", files=form)
        assert response.status_code == 200
        *good, bad = response.json()["predictions"]
        assert bad["error"]["code"] == "unsupported_format"
        for each, data in zip(good, files.values(), strict=True):
            expected = {one.label: one.probability for one in model.classify(data, top_k=2)}
            for label in each["labels"]:
                assert label["probability"] == pytest.approx(expected[label["label"]], abs=1e-5)


def test_arrays_of_the_inference_protocol_keep_their_shapes(
    served: Server, contract_client_of: Callable[[Server], httpx.Client], files: dict[str, bytes], model: Classifier
) -> None:
    array = np.array(Image.open(io.BytesIO(files["tall"])))[None]
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(array.shape), "data": array.ravel().tolist()}
    with contract_client_of(served) as client:
        name = client.get("/v1/model").json()["name"]
        response = client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
    outputs = {one["name"]: one["data"] for one in response.json()["outputs"]}
    assert outputs["logits"] == pytest.approx(
        model.predict(model.fit(files["tall"])[None]).logits[0].tolist(), abs=1e-5
    )


@pytest.mark.parametrize(
    ("canvases", "message"),
    [
        ([], "no image"),
        ([np.zeros((SIZE, SIZE + PATCH, 3), np.uint8)], "at most 36"),
        ([np.zeros((SIZE, SIZE - 1, 3), np.uint8)], "do not divide"),
        ([np.zeros((SIZE, SIZE), np.uint8)], "RGB"),
        ([np.zeros((SIZE, SIZE, 3), np.float32)], "float32"),
    ],
)
def test_what_the_model_does_not_take_is_refused(model: Classifier, canvases: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        model.predict(canvases)


def test_explanations_are_refused_before_any_work(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"--checkpoint={folder / 'run/checkpoints/best.ckpt'}", f"--output={folder / 'other.onnx'}"]
    assert main(["export", *arguments, f"--data.path={folder / 'images'}", "--explain"]) == 2
    assert "images keep their shapes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--model.mixup=0.2", "cannot be blended"),
        ("--data.patch=8", "patches of 4, and --data.patch is 8"),
        ("--model.net.norm=batch", "is made for one grid"),
    ],
)
def test_a_run_that_cannot_be_is_refused(
    folder: Path, tmp_path: Path, option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, f"--data.path={folder / 'images'}", f"--run={tmp_path / 'run'}", option]) == 2
    assert message in capsys.readouterr().err


def data_of(folder: Path, **options: Any) -> ImageDataModule:
    return ImageDataModule(str(folder / "images"), SIZE, "native", PATCH, workers=0, **options)


def test_evaluated_images_are_the_canvases_of_the_endpoint(folder: Path) -> None:
    data = data_of(folder, batch_size=5)
    patches, _, indices = next(iter(data.in_order("test")))
    assert isinstance(patches, VectorSet)
    cut = patches_of([data.images("test", data.trained_form("test"))[index] for index in indices.tolist()], PATCH)
    assert np.array_equal(patches.vectors.numpy(), cut.patches)
    for image, index in zip(images_of(cut, PATCH), indices.tolist(), strict=True):
        path = data.source.file("test", index)
        assert path is not None
        assert np.array_equal(image, fit(path.read_bytes(), data.rule))


def test_crops_have_the_shapes_of_their_images_or_nearly(folder: Path) -> None:
    data = data_of(folder, crop=RandomCrop((0.5, 1.0), (0.9, 1.1)))
    dataset: Any = data._dataset("train", takes=1)
    crops, _, indices = dataset.__getitems__(list(range(20)))
    whole = data.images("train", data.trained_form("train"))
    for (rows, columns), index in zip(crops.grids.tolist(), indices.tolist(), strict=True):
        height, width = whole[index].shape[:2]
        assert abs(np.log(columns / rows * height / width)) < 0.6
    again, _, _ = dataset.__getitems__(list(range(20)))
    other, _, _ = dataset.__getitems__([60 + number for number in range(20)])
    assert torch.equal(crops.vectors, again.vectors)
    assert crops.vectors.shape != other.vectors.shape or not torch.equal(crops.vectors, other.vectors)


def test_batches_are_cut_into_patches_of_several_sides(folder: Path, tmp_path: Path) -> None:
    data = data_of(folder, crop=RandomCrop(), patches=[3, 4, 6])
    dataset: Any = data._dataset("train", takes=1)
    sides, again = (
        [dataset.__getitems__(list(range(begin, begin + 4)))[0].width for begin in range(0, 80, 4)] for _ in range(2)
    )
    assert set(sides) == {27, 48, 108}
    assert sides == again
    assert {patches.width for patches, *_ in data.in_order("test")} == {48}
    several = ["--data.patches=[3,4,6]", "--model.net.drop_patches=0.3", "--trainer.max_steps=4"]
    options = [f"--data.path={folder / 'images'}", f"--run={tmp_path / 'run'}", "--trainer.val_check_interval=4"]
    assert main([*FIT, *options, *several]) == 0


@pytest.mark.parametrize("options", [{}, {"crop": RandomCrop(), "patches": [25]}])
def test_patches_without_sense_are_refused(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"several sides|from 1 to 24"):
        data_of(folder, **{"patches": [4], **options})


def test_augmentations_change_each_image_as_they_change_it_alone() -> None:
    random = np.random.default_rng(0)
    canvases = [
        random.integers(0, 256, (PATCH * rows, PATCH * columns, 3), np.uint8)
        for rows, columns in ((2, 3), (1, 5), (2, 3), (4, 1))
    ]
    draws = Draws.of(0, 0, np.arange(4))
    transforms = [HorizontalFlip()]
    changed = augmented_sets(together(canvases, InputRule(SIZE, "native", patch=PATCH)), transforms, draws)
    flips = 0
    back = images_of(Patches(changed.vectors.numpy(), changed.positions.numpy(), changed.mask.numpy()), PATCH)
    for index, (image, after) in enumerate(zip(canvases, back, strict=True)):
        alone = torch.from_numpy(image).permute(2, 0, 1)[None]
        expected, _ = augmented(alone, torch.zeros(1), "classification", transforms, draws.take(np.array([index])))
        assert np.array_equal(expected[0].permute(1, 2, 0).numpy(), after)
        flips += not np.array_equal(image, after)
    assert 0 < flips < 4
