"""Weights of contenders: found in a folder or fetched by name, a part of the plan, and the same in every worker."""

from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vitrail.data import Digits
from vitrail.errors import ModelError, UsageError
from vitrail.models import timm_models
from vitrail.models.checkpoint import read_checkpoint
from vitrail.training.study.jobs import Job
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.plan import Contender, Plan
from vitrail.training.study.resolved_plan import resolve
from vitrail.training.study.store import existing_plan, save_plan
from vitrail.training.study.train import train
from vitrail.training.study.weights import fetched, placed_in, with_weights
from vitrail.training.study.worker import Worker

from .conftest import MOBILE, VIT, write_weights


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched.cache_clear()
    monkeypatch.setattr(timm_models, "hf_hub_download", lambda *_: pytest.fail("fetched from the Hub"))


def plan_in(file: Path, *options: str) -> Plan:
    return parse_study([f"--config={file}", *options]).plan


def starting_from(plan: Plan, name: str) -> object:
    return plan.contender(name).model["net"]["init_args"]["pretrained"]


def test_files_are_called_after_their_networks_and_hashed(pretrained_file: Path, weights: Path) -> None:
    plan = with_weights(plan_in(pretrained_file), weights)
    for contender, network in (("ViT", VIT), ("CNN", MOBILE)):
        file = weights / f"{network}.safetensors"
        assert starting_from(plan, contender) == str(file)
        assert plan.contender(contender).weights == sha256(file.read_bytes()).hexdigest()
    assert starting_from(plan, "Scratch") is False
    assert plan.contender("Scratch").weights is None


def test_the_tag_of_a_name_may_be_left_out(weights: Path) -> None:
    tagged = Contender("A", {"net": {"init_args": {"name": f"{VIT}.r160_in1k", "pretrained": True}}})
    assert placed_in(weights, tagged).model["net"]["init_args"]["pretrained"] == str(weights / f"{VIT}.safetensors")
    own = write_weights(weights, VIT, 1).rename(weights / f"{VIT}.r160_in1k.safetensors")
    assert placed_in(weights, tagged).model["net"]["init_args"]["pretrained"] == str(own)


def test_a_file_that_is_given_stays(pretrained_file: Path, weights: Path, tmp_path: Path) -> None:
    file = write_weights(tmp_path, VIT, 1)
    plan = with_weights(plan_in(pretrained_file, f"--contenders.ViT.net.pretrained={file}"), weights)
    assert starting_from(plan, "ViT") == str(file)
    assert plan.contender("ViT").weights == sha256(file.read_bytes()).hexdigest()
    file.unlink()
    with pytest.raises(ModelError, match="there is no weights file at"):
        with_weights(plan, weights)


def test_a_folder_without_the_file_is_refused(pretrained_file: Path, weights: Path) -> None:
    (weights / f"{MOBILE}.safetensors").unlink()
    with pytest.raises(UsageError, match=rf"'CNN' starts from weights of {MOBILE}: there is no .*{MOBILE}.safetensors"):
        with_weights(plan_in(pretrained_file), weights)
    with pytest.raises(UsageError, match="there is no folder of weights at nowhere"):
        with_weights(plan_in(pretrained_file), Path("nowhere"))


def test_the_folder_may_come_from_the_environment(
    pretrained_file: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse_study([f"--config={pretrained_file}"]).weights is None
    monkeypatch.setenv("VITRAIL_WEIGHTS", "elsewhere")
    assert parse_study([f"--config={pretrained_file}"]).weights == Path("elsewhere")
    assert parse_study([f"--config={pretrained_file}", f"--weights={weights}"]).weights == weights


def test_weights_in_no_folder_are_fetched_once_by_name(
    pretrained_file: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(weights / f"{VIT if VIT in repository else MOBILE}.safetensors")

    monkeypatch.setattr(timm_models, "hf_hub_download", download)
    given = plan_in(pretrained_file)
    plan, again = with_weights(given, None), with_weights(given, None)
    files = [weights / f"{name}.safetensors" for name in (VIT, MOBILE)]
    hashes = [sha256(file.read_bytes()).hexdigest() for file in files]
    assert [one.weights for one in plan.contenders] == [*hashes, None]
    assert plan == again
    assert starting_from(plan, "ViT") is True
    assert asked == [(f"timm/{name}.r160_in1k", "model.safetensors") for name in (VIT, MOBILE)]


def test_weights_out_of_reach_are_one_error(pretrained_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: str) -> str:
        raise OSError("no network\nand more")

    monkeypatch.setattr(timm_models, "hf_hub_download", unreachable)
    with pytest.raises(ModelError, match=r"could not be fetched \(no network\): give a file, or with --weights a"):
        with_weights(plan_in(pretrained_file), None)


def test_a_study_does_not_go_on_with_other_weights(pretrained_file: Path, weights: Path, tmp_path: Path) -> None:
    given = plan_in(pretrained_file)
    before = resolve(with_weights(given, weights), Digits())
    save_plan(tmp_path / "study", before)
    assert existing_plan(tmp_path / "study", with_weights(given, weights), Digits().fingerprint) == before
    write_weights(weights, MOBILE, seed=1)
    with pytest.raises(UsageError, match=r"of another plan: plan\.contenders\.CNN\.weights is "):
        existing_plan(tmp_path / "study", with_weights(given, weights), Digits().fingerprint)
    done = Worker(before).run(Job("CNN", 30, 0, 0.001))
    assert done.fault == "the weights of 'CNN' are not those of the plan"


def test_weights_of_another_network_are_refused_before_any_run(pretrained_file: Path, weights: Path) -> None:
    write_weights(weights, "test_resnet", 0).rename(weights / f"{VIT}.safetensors")
    with pytest.raises(ModelError, match="holds weights of another network"):
        resolve(with_weights(plan_in(pretrained_file), weights), Digits())


def test_statistics_of_the_images_are_refused_before_any_run(pretrained_file: Path, weights: Path) -> None:
    plan = plan_in(pretrained_file, "--contenders.ViT.statistics=images")
    with pytest.raises(UsageError, match="come with statistics of pixels"):
        resolve(with_weights(plan, weights), Digits())


def test_a_run_starts_from_the_weights(pretrained_file: Path, weights: Path, tmp_path: Path) -> None:
    """A rate that changes nothing leaves them as they are."""
    resolved = resolve(with_weights(plan_in(pretrained_file), weights), Digits())
    run = train(resolved, Job("CNN", 60, 0, 1e-30), Digits())
    (tmp_path / "best.ckpt").write_bytes(run.files["best.ckpt"])
    network, origin = read_checkpoint(str(tmp_path / "best.ckpt"))
    there, here = load_file(weights / f"{MOBILE}.safetensors"), network.state_dict()
    assert set(there) == set(here)
    for name in set(there) - {"classifier.weight", "classifier.bias"}:
        torch.testing.assert_close(here[name], there[name])  # the statistics of BatchNorm, too: they are frozen
    assert origin.input.mean == pytest.approx((0.485, 0.456, 0.406))


def test_widths_are_matched_to_a_network_with_weights(pretrained_file: Path, weights: Path) -> None:
    resolved = resolve(with_weights(plan_in(pretrained_file), weights), Digits())
    assert resolved.matched["Scratch"].to == "ViT"
    assert resolved.matched["Scratch"].reached == pytest.approx(resolved.matched["Scratch"].wanted, rel=0.2)
