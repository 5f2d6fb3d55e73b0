"""LoRA: the base at the start, plain weights in the checkpoint, exact resuming, and networks that are refused."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.models import CNN, Architecture, ViT
from vitrail.models.checkpoint import load_checkpoint, read_checkpoint
from vitrail.models.lora import KEY, PARTS, LoRA, merged, separated
from vitrail.training.module import ImageModule

WIDTH, DEPTH, CLASSES = 32, 2, 10
SIZES: dict[str, Any] = {"patch": 2, "width": WIDTH, "depth": DEPTH, "heads": 4}
# Inputs and outputs of qkv, proj, fc1 and fc2.
MATRICES = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)]
LAYERS = [
    f"blocks.{block}.{name}" for block in range(DEPTH) for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
]


def made(lora: LoRA | None, architecture: Architecture | None = None, size: int = 8) -> nn.Module:
    """The same network with and without LoRA; some heads start at zero, so this one is drawn."""
    torch.manual_seed(0)
    network = (architecture or ViT(**SIZES)).build(CLASSES, size)
    head: Any = network.get_classifier()  # type: ignore[operator]
    nn.init.normal_(head.weight)
    if lora is not None:
        lora.put_into(network)
    return network.eval()


def train(network: nn.Module, size: int = 8, steps: int = 3) -> None:
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW([one for one in network.parameters() if one.requires_grad], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.randn(4, 3, size, size, generator=generator)).square().mean().backward()
        optimizer.step()


def pixels(size: int = 8) -> Tensor:
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(2))


def test_at_the_start_outputs_are_those_of_the_base() -> None:
    assert torch.equal(made(LoRA())(pixels()), made(None)(pixels()))


def test_the_updates_and_the_head_are_trained_and_the_base_is_not() -> None:
    rank = 3
    network = made(LoRA(rank=rank))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    updates = DEPTH * sum(rank * (inputs + outputs) for inputs, outputs in MATRICES)
    head = WIDTH * CLASSES + CLASSES
    assert sum(one.numel() for one in network.parameters() if one.requires_grad) == updates + head
    train(network)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    factors = {f"{layer}{PARTS}0.{factor}" for layer in LAYERS for factor in ("up", "down")}
    assert changed == factors | {"head.weight", "head.bias"}


def test_merged_weights_are_the_sums_by_hand_and_give_the_same_logits() -> None:
    lora = LoRA(rank=2, alpha=3)
    network = made(lora)
    train(network)
    weights = network.state_dict()
    plain = merged(weights, lora.alpha / lora.rank)
    untouched = made(None)
    assert plain.keys() == untouched.state_dict().keys()
    for layer in LAYERS:
        up, down = (weights[f"{layer}{PARTS}0.{factor}"].double() for factor in ("up", "down"))
        expected = untouched.state_dict()[f"{layer}.weight"].double() + 1.5 * up @ down
        torch.testing.assert_close(plain[f"{layer}.weight"].double(), expected, atol=1e-6, rtol=1e-6)
    untouched.load_state_dict(plain)
    torch.testing.assert_close(untouched(pixels()), network(pixels()), atol=1e-6, rtol=1e-5)


def test_separated_weights_are_the_same_to_the_last_bit() -> None:
    network = made(LoRA())
    train(network)
    weights = network.state_dict()
    parts = {name: value for name, value in weights.items() if PARTS in name}
    back = separated(merged(weights, 2.0), parts)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    "architecture",
    [
        ViT(**SIZES, block="conformer", positions="floater"),
        ViT(**SIZES, attention="linear", norm="batch", positions="conditional"),
        ViT(name="deit_tiny_distilled_patch16_224"),
        pytest.param(ViT(name="beit_base_patch16_224"), marks=pytest.mark.long),  # reads qkv's weight, never calls it
    ],
    ids=str,
)
def test_every_update_takes_part_and_is_merged_in_other_transformers(architecture: ViT) -> None:
    size = 8 if architecture.name is None else 32
    torch.manual_seed(3)
    network, other = architecture.build(CLASSES, size), architecture.build(CLASSES, size)
    lora = LoRA(rank=2)
    lora.put_into(network)
    train(network, size, steps=1)
    weights = network.state_dict()
    assert all(value.any() for name, value in weights.items() if name.endswith(f"{PARTS}0.up"))
    other.load_state_dict(merged(weights, lora.alpha / lora.rank))
    torch.testing.assert_close(other.eval()(pixels(size)), network.eval()(pixels(size)), atol=1e-6, rtol=1e-5)


def test_lower_precision_changes_no_sum() -> None:
    network: Any = made(LoRA())
    train(network)
    exact = network.blocks[0].attn.qkv.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network.blocks[0].attn.qkv.weight, exact)


@pytest.mark.parametrize("architecture", [CNN(width=8, stages=2), CNN(name="resnet18"), CNN(name="efficientnet_b0")])
def test_a_network_without_transformer_blocks_is_refused(architecture: CNN) -> None:
    with pytest.raises(UsageError, match=r"has none in `blocks`: choose a ViT, or leave out lora$"):
        ImageModule(architecture, CLASSES, 32, lora=LoRA())


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0.0}])
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="needs a rank of at least 1 and an alpha above 0"):
        LoRA(**settings)


NET = [f"--model.net.{name}={value}" for name, value in SIZES.items()]
BASE = ["fit", "--config=digits-vit", *NET, "--data.images=300", "--model.mixup=0"]
STEPS = ["--trainer.max_steps=8", "--trainer.val_check_interval=4"]
KEEP = [
    "--trainer.callbacks+=pytorch_lightning.callbacks.ModelCheckpoint",
    "--trainer.callbacks.every_n_train_steps=4",
    "--trainer.callbacks.save_top_k=-1",
    "--trainer.callbacks.filename={step}",
]
EMA = ["--trainer.callbacks+=pytorch_lightning.callbacks.EMAWeightAveraging", "--trainer.callbacks.decay=0.5"]
SWA = [
    *("--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"),
    *("--trainer.callbacks.swa_epoch_start=1", "--trainer.max_steps=-1", "--trainer.max_epochs=3"),
    *("--trainer.check_val_every_n_epoch=1", "--trainer.val_check_interval=1.0"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("base") / "run"
    assert main([*BASE, f"--run={run}", "--trainer.max_steps=40", "--trainer.val_check_interval=40"]) == 0
    return run / "checkpoints/best.ckpt"


def fit(base: Path, run: Path, *options: str) -> Path:
    argv = [*BASE, *STEPS, f"--model.net.pretrained={base}", "--model.lora.rank=4", f"--run={run}", *options]
    assert main(argv) == 0
    return run / "checkpoints/last.ckpt"


def content_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit(base, tmp_path_factory.mktemp("tuned") / "run")


def test_a_checkpoint_holds_plain_weights_and_the_base(base: Path, tuned: Path) -> None:
    """timm, export and a warm start read it as any other; the base is that of the earlier run."""
    network, origin = read_checkpoint(tuned)
    before = load_checkpoint(base)[1]
    assert isinstance(network, timm.models.VisionTransformer)
    assert origin.architecture.untrained() == ViT(**SIZES)
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"{layer}.weight" for layer in LAYERS} | {"head.weight", "head.bias"}
    kept = content_of(tuned)[KEY]
    assert (kept["rank"], kept["alpha"]) == (4, 16.0)
    assert all(
        torch.equal(kept["weights"][f"net.{layer}{PARTS}original"], before[f"{layer}.weight"]) for layer in LAYERS
    )


def test_it_is_tested_as_it_was_validated(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its own settings, and without LoRA."""
    best = tuned.with_name("best.ckpt")
    state = content_of(best)["callbacks"]
    (reached,) = (float(one["best_model_score"]) for one in state.values() if one.get("monitor"))
    outputs = []
    plain = ["--config=digits-vit", *NET, "--data.images=300"]
    for verb in ("validate", "test"):
        for options in ([], plain):
            capsys.readouterr()
            assert main([verb, f"--ckpt_path={best}", *options]) == 0
            outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert f"val_accuracy {reached:.4f}" in outputs[0]
    assert outputs[2] == outputs[3]


def test_it_is_exported_and_starts_another_run(tuned: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.onnx"
    assert main(["export", f"--checkpoint={tuned}", f"--output={output}"]) == 0
    assert main(["verify", str(output)]) == 0
    again: Any = ViT(**SIZES, pretrained=str(tuned)).build(CLASSES, 8).eval()
    assert torch.equal(again(pixels()), read_checkpoint(tuned)[0](pixels()))


@pytest.mark.parametrize("averaging", [[], EMA], ids=["plain", "averaged"])
def test_a_resumed_run_equals_an_uninterrupted_one(averaging: list[str], base: Path, tmp_path: Path) -> None:
    keep = [*KEEP, f"--trainer.callbacks.dirpath={tmp_path / 'steps'}", *averaging]
    whole = content_of(fit(base, tmp_path / "whole", *keep))
    half = tmp_path / "steps/step=4.ckpt"
    assert (
        main(
            [
                "fit",
                f"--ckpt_path={half}",
                "--trainer.max_steps=8",
                *BASE[1:],
                *STEPS,
                *averaging,
                f"--model.net.pretrained={base}",
                "--model.lora.rank=4",
                f"--run={tmp_path / 'rest'}",
            ]
        )
        == 0
    )
    rest = content_of(tmp_path / "rest/checkpoints/last.ckpt")
    for one, other in ((whole["state_dict"], rest["state_dict"]), (whole[KEY]["weights"], rest[KEY]["weights"])):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(
        torch.equal(content_of(half)["state_dict"][name], whole["state_dict"][name]) for name in whole["state_dict"]
    )


@pytest.mark.parametrize("averaging", [EMA, SWA], ids=["EMA", "SWA"])
def test_averaged_updates_are_merged(
    averaging: list[str], base: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = fit(base, tmp_path / "run", *averaging)
    network, origin = read_checkpoint(last)
    content = content_of(last)
    assert origin.averaged
    parts = content[KEY]["weights"]
    expected = merged(parts, 16 / 4)
    assert all(torch.equal(network.state_dict()[name.removeprefix("net.")], value) for name, value in expected.items())
    for layer in LAYERS:
        torch.testing.assert_close(
            parts[f"net.{layer}{PARTS}original"], load_checkpoint(base)[1][f"{layer}.weight"], atol=1e-6, rtol=1e-6
        )
    assert not torch.equal(network.state_dict()["head.weight"], read_checkpoint(tuned)[0].state_dict()["head.weight"])
    assert main(["test", f"--ckpt_path={last}"]) == 0


@pytest.mark.parametrize(
    ("verb", "options", "reason"),
    [
        (
            "fit",
            ["--model.lora.rank=4"],
            "LoRA adapts pretrained weights, and this network starts at random: give --mod",
        ),
        ("fit", ["--model.lora.rank=0", "--model.net.pretrained=BASE"], "needs a rank of at least 1"),
        ("test", ["--ckpt_path=BASE", "--model.lora.rank=4"], "was trained without LoRA: leave out --model.lora"),
        (
            "test",
            ["--ckpt_path=TUNED", "--model.lora.rank=5"],
            "trained with LoRA(rank=4, alpha=16.0), the configuration has LoRA(rank=5, alpha=16.0)",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    verb: str,
    options: list[str],
    reason: str,
    base: Path,
    tuned: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named = [one.replace("BASE", str(base)).replace("TUNED", str(tuned)) for one in options]
    run = [*BASE[1:], f"--run={tmp_path / 'run'}"] if verb == "fit" else []
    capsys.readouterr()
    assert main([verb, *run, *named]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert not (tmp_path / "run").exists()
