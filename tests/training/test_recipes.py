"""Shipped recipes: each is found by name, has a complete header and parses; the small ones are fitted."""

from pathlib import Path

import pytest
import timm
import yaml
from safetensors.torch import save_file

from vitrail.cli import main
from vitrail.errors import UsageError
from vitrail.models.checkpoint import load_checkpoint
from vitrail.training.recipes import find_recipe, pairs, recipes, values_of, with_recipes

EXAMPLES = Path(__file__).parents[2] / "examples/distributed"
FEW_STEPS = ["--trainer.max_steps=4", "--trainer.val_check_interval=2", "--trainer.limit_val_batches=2"]
SMALL = sorted(name for name in recipes() if name.startswith("digits-"))
ALWAYS = ("digits-cnn", "digits-vit", "digits-detection", "digits-sequence")
FOR_FOLDERS = sorted(name for name in recipes() if not name.startswith("digits-"))


def verb_of(name: str) -> str:
    return "pretrain" if name.startswith("masked-") else "fit"


def test_every_recipe_is_small_or_for_folders() -> None:
    assert {
        f"digits-{name}" for name in ("vit", "cnn", "multilabel", "regression", "dense", "sequence", "detection")
    } <= set(SMALL)
    assert FOR_FOLDERS


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_recipe_opens_with_command_hardware_time_and_result(name: str) -> None:
    head = [line for line in Path(recipes()[name]).read_text().splitlines() if line.startswith("#")]
    assert head[0].startswith(f"# vitrail {verb_of(name)} --config {name}")
    assert [line.split(":")[0] for line in head[1:4]] == ["# hardware", "# time", "# result"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ALWAYS else pytest.mark.long) for name in SMALL]
)
def test_small_recipes_are_fitted(name: str, tmp_path: Path) -> None:
    run = tmp_path / name
    assert main(["fit", "--config", name, f"--run={run}", *FEW_STEPS]) == 0
    assert (run / "checkpoints/best.ckpt").is_file()


@pytest.mark.parametrize("name", FOR_FOLDERS)
def test_recipes_for_folders_are_parsed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb_of(name), "--config", name, "--print_config"]) == 0
    parsed = yaml.safe_load(capsys.readouterr().out)
    assert parsed["model"]["net"]["class_path"].startswith("vitrail.models.")
    assert parsed["data"]["size"] > 0


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_settings_of_several_processes_go_beside_any_recipe(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = EXAMPLES / f"{name}.yaml"
    assert main(["fit", "--config=images-vit", f"--config={file}", "--print_config"]) == 0
    parsed = yaml.safe_load(capsys.readouterr().out)
    given = yaml.safe_load(file.read_text())["trainer"]
    assert parsed["trainer"]["devices"] == given["devices"]
    strategy = parsed["trainer"]["strategy"]
    assert (strategy if isinstance(strategy, str) else strategy["class_path"]).lower().startswith((name, "pytorch"))
    assert parsed["model"]["net"]["class_path"] == "vitrail.models.ViT"


def test_lora_differs_from_full_fine_tuning_by_its_rate_alone() -> None:
    full, lora = (
        yaml.safe_load(Path(recipes()[name]).read_text()) for name in ("images-vit-pretrained", "images-vit-lora")
    )
    assert lora["model"].pop("lora") == {"rank": 8, "alpha": 16}
    assert lora["model"]["optimizer"]["init_args"].pop("lr") > full["model"]["optimizer"]["init_args"].pop("lr")
    assert lora == full


def test_lora_is_fitted_and_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "tiny.safetensors")
    net = ["--model.net.name=test_vit", f"--model.net.pretrained={tmp_path / 'tiny.safetensors'}"]
    data = ["--data.path=digits", "--data.size=32", "--data.images=100", "--data.batch_size=16"]
    assert main(["fit", "--config=images-vit-lora", *net, *data, *FEW_STEPS, f"--run={tmp_path / 'run'}"]) == 0
    best = tmp_path / "run/checkpoints/best.ckpt"
    assert set(load_checkpoint(best)[1]) == set(timm.create_model("test_vit").state_dict())
    assert main(["test", f"--ckpt_path={best}"]) == 0
    assert "top-1" in capsys.readouterr().out


def test_a_file_comes_before_a_recipe_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits-vit").write_text("{}")
    assert find_recipe("digits-vit") == "digits-vit"


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(
        UsageError,
        match="digits-cnn, digits-dense, digits-dense-regression, digits-detection, digits-multilabel, digits-regr",
    ):
        find_recipe("digits-rnn")


def test_options_are_parsed_in_both_spellings() -> None:
    argv = ["--config", "a", "--data.path=b", "--flag", "--config=c"]
    assert pairs(argv) == [("--config", "a"), ("--data.path", "b"), ("--flag", ""), ("--config", "c")]
    assert values_of(argv, "--config") == ["a", "c"]


def test_only_configurations_are_replaced_by_paths() -> None:
    argv = with_recipes(["--config", "digits-vit", "--run=digits-cnn", "--print_config"])
    assert argv == [f"--config={recipes()['digits-vit']}", "--run=digits-cnn", "--print_config"]
