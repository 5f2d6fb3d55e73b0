"""Plans: parsed, resolved for the images, stored and read again; and every mistake in one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.errors import UsageError
from vitrail.training.study.parsing import names_in_file, parse_study
from vitrail.training.study.plan import Contender, Geometric, Plan, crossed
from vitrail.training.study.resolved_plan import ResolvedPlan, differences, resolve


def plan_in(file: Path, *options: str) -> Plan:
    return parse_study(["--config", str(file), *options]).plan


def test_a_plan_is_read_with_its_overrides(plan_file: Path) -> None:
    options = parse_study(
        [
            f"--config={plan_file}",
            "--contenders.ViT.net.init_args.depth=2",
            "--contenders.CNN.optimizer.init_args.lr=0.01",
            "--sizes={smallest: 20, count: 3}",
            "--folder=there",
            "--executor=here",
        ]
    )
    assert options.plan.contender("ViT").model["net"]["init_args"]["depth"] == 2
    assert options.plan.contender("CNN").rate == 0.01
    assert options.plan.sizes == Geometric(20, None, 3)
    assert (options.folder, options.executor, options.until_sure) == (Path("there"), "here", None)


@pytest.mark.parametrize(
    ("given", "sure"),
    [
        ([], None),
        (["--until-sure"], 0.95),
        (["--until-sure", "0.9"], 0.9),
        (["--until-sure=0.99"], 0.99),
        (["--until-sure", "--threads=2"], 0.95),
    ],
    ids=str,
)
def test_a_study_runs_until_it_is_sure(plan_file: Path, given: list[str], sure: float | None) -> None:
    assert parse_study([f"--config={plan_file}", *given]).until_sure == sure


def test_a_contender_may_come_from_the_command_line(plan_file: Path) -> None:
    plan = plan_in(plan_file, "--contenders.Wide.net=vitrail.models.CNN", "--contenders.Wide.net.width=99")
    assert [contender.name for contender in plan.contenders] == ["ViT", "CNN", "Wide"]
    assert plan.contender("Wide").model["net"]["init_args"]["width"] == 99


def test_a_resolved_plan_is_restored_from_json(plan_file: Path) -> None:
    resolved = resolve(plan_in(plan_file, "--contenders.CNN.match=parameters"), Digits())
    plain = json.loads(json.dumps(resolved.to_plain()))
    assert ResolvedPlan.from_plain(plain) == resolved
    assert resolved.sizes == (30, 60)
    assert resolved.matched["CNN"].to == "ViT"
    assert resolved.fingerprint == Digits().fingerprint


def test_the_hash_of_a_plan_changes_with_the_plan(plan_file: Path) -> None:
    resolved = resolve(plan_in(plan_file), Digits())
    same, other = resolve(plan_in(plan_file), Digits()), replace(resolved, plan=replace(resolved.plan, steps=8))
    assert resolved.to_plain()["hash"] == same.to_plain()["hash"] != other.to_plain()["hash"]


def test_differences_are_named_by_their_path() -> None:
    stored = {"steps": 3, "contenders": [{"name": "A", "lr": 1}], "seeds": [0, 1]}
    given = {"steps": 4, "contenders": [{"name": "A", "lr": 2}], "seeds": [0, 1, 2]}
    assert list(differences(stored, given)) == [
        "steps is 3 in the folder and 4 here",
        "contenders.A.lr is 1 in the folder and 2 here",
        "seeds is [0, 1] in the folder and [0, 1, 2] here",
    ]


def test_other_contenders_are_named() -> None:
    stored, given = [{"name": "A", "lr": 1}, {"name": "B"}], [{"name": "A", "lr": 1}]
    assert list(differences({"contenders": stored}, {"contenders": given})) == [
        'contenders is ["A", "B"] in the folder and ["A"] here'
    ]


def test_augmentations_are_crossed_with_contenders(plan_file: Path) -> None:
    flip = "torchvision.transforms.v2.RandomHorizontalFlip"
    plan = plan_in(
        plan_file,
        "--contenders.CNN.match=flops",
        f"--augmentations={{plain: [], flips: [{{class_path: {flip}, init_args: {{p: 0.3}}}}]}}",
    )
    assert [contender.name for contender in plan.contenders] == ["ViT+plain", "ViT+flips", "CNN+plain", "CNN+flips"]
    assert plan.contender("CNN+flips").match_to == "ViT+flips"
    assert plan.contender("CNN+flips").augment == ({"class_path": flip, "init_args": {"p": 0.3}},)
    assert plan.contender("ViT+plain").augment == ()


def test_without_augmentations_names_stay() -> None:
    contenders = (Contender("A", {}), Contender("B", {}))
    assert crossed(contenders, {}) == contenders


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (["--sizes=[30, 2000]"], 1, "digits has 1,438 labelled images for training and validation"),
        (["--sizes=[15, 60]"], 1, "15 images are too few for 10 classes"),
        (["--sizes=[30, 30]"], 2, "size 30 is given twice"),
        (["--sizes=[]"], 2, "a study needs at least one size"),
        (["--sizes={smallest: 60, largest: 30}"], 2, "not from 60 to 30"),
        (["--sizes={smallest: 60, largest: 90, count: 1}"], 2, "at least 2 sizes"),
        (["--sizes=null"], 2, "`sizes` are missing"),
        (["--seeds=[0, 1, 1]"], 2, "seed 1 is given twice"),
        (["--seeds=[0, 1]"], 2, "give at least 3"),
        (["--rate_seeds=[2]"], 2, "seed 2 is reported and chooses learning rates"),
        (["--rate_seeds=[]"], 2, "with 2 seeds or more, not 0: give `rate_seeds`"),
        (["--rate_factors=[0, 1]"], 2, "at least one factor, all of them above 0"),
        (["--rate_factors=[1, 1]"], 2, "rate factor 1.0 is given twice"),
        (["--validate_every=3"], 2, "let `validate_every` divide `steps`"),
        (["--steps=0"], 2, "steps must be at least 1"),
        (["--threads=0"], 2, "threads must be at least 1"),
        (["--name=a/b"], 2, "'a/b' is not usable as the name of a folder"),
        (["--contenders.vit.net=vitrail.models.CNN"], 2, "contender vit is given twice"),
        (["--contenders.Other.mixup=1"], 2, "net"),
        (["--contenders.CNN.match=beauty"], 2, "match"),
        (["--contenders.CNN.match=flops", "--contenders.CNN.match_to=Nobody"], 2, "'CNN' has nothing to match"),
        (["--contenders.ViT.match=flops"], 2, "'ViT' has nothing to match"),
        (["--contenders.CNN.match=flops", "--contenders.CNN.net.name=resnet18"], 2, "whose width is fixed"),
        (["--contenders.ViT.net.init_args.patch=3"], 2, "patches of 3 do not divide"),
        (["--contenders.ViT.net.init_args.pach=2"], 2, "pach"),
        (["--data.resize=native"], 2, "a study compares networks on the same squares"),
        (["--data.path=nowhere"], 1, "there is no folder of images at nowhere"),
        (["--mode=equal-money"], 2, "mode"),
        (["--executor=ray", "--address=nowhere"], 2, "HOST:PORT, not 'nowhere'"),
        (["--steps=many"], 2, "steps"),
        (["--until-sure=95"], 2, "between 0.5 and 1"),
        (["--workers=0"], 2, "--workers must be at least 1"),
        (["--label-cost=-1"], 2, "--label-cost is an amount of money"),
        (["--hour-cost=dear"], 2, "hour_cost"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    options: list[str],
    code: int,
    reason: str,
    plan_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", f"--config={plan_file}", *options]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vitrail: ")
    assert reason in line
    assert list(tmp_path.iterdir()) == [plan_file]


def test_two_contenders_with_the_same_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("contenders:\n  A: {net: vitrail.models.ViT}\n  A: {net: vitrail.models.CNN}\n")
    with pytest.raises(UsageError, match="two contenders named 'A'"):
        names_in_file(file)


def test_an_invalid_yaml_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("contenders: [1, {")
    with pytest.raises(UsageError, match=r"bad\.yaml is not a YAML file"):
        names_in_file(file)
