"""Sweeps: every combination of the values is a contender, read by the parser that reads given ones."""

from pathlib import Path

import pytest

from vitrail.cli import main
from vitrail.data import Digits
from vitrail.errors import UsageError
from vitrail.training.study.parsing import parse_study
from vitrail.training.study.plan import NAME, Plan
from vitrail.training.study.resolved_plan import ResolvedPlan, resolve
from vitrail.training.study.sweep import combinations, from_flags, label, merged, overrides

SWEEP = """
sweep:
  ViT:
    net.init_args.patch: [2, 4]
    optimizer.init_args.weight_decay: [0.01, 0.05, 0.3]
"""


def plan_in(file: Path, *options: str) -> Plan:
    return parse_study([f"--config={file}", *options]).plan


@pytest.fixture
def swept_file(plan_file: Path) -> Path:
    plan_file.write_text(plan_file.read_text() + SWEEP)
    return plan_file


def test_every_combination_is_a_contender_in_place_of_the_varied_one(swept_file: Path) -> None:
    plan = plan_in(swept_file)
    *varied, last = plan.contenders
    assert [one.name for one in varied] == [
        f"ViT+patch={patch}+weight_decay={decay}" for patch in (2, 4) for decay in (0.01, 0.05, 0.3)
    ]
    values = [
        (one.model["net"]["init_args"]["patch"], one.model["optimizer"]["init_args"]["weight_decay"]) for one in varied
    ]
    assert values == [(patch, decay) for patch in (2, 4) for decay in (0.01, 0.05, 0.3)]
    assert {one.model["mixup"] for one in varied} == {0.4}
    assert last == plan_in(swept_file, "--sweep={}").contender("CNN")
    assert [one.varied for one in plan.contenders] == ["ViT"] * 6 + [None]


def test_options_of_the_command_line_hold_for_every_variant(swept_file: Path) -> None:
    plan = plan_in(swept_file, "--contenders.ViT.net.init_args.depth=2")
    assert {one.model["net"]["init_args"]["depth"] for one in plan.contenders if one.varied} == {2}


def test_a_sweep_of_the_command_line_joins_that_of_the_file(swept_file: Path) -> None:
    plan = plan_in(swept_file, "--sweep.ViT.net.init_args.patch=[4, 8]", "--sweep.CNN.mixup", "0,0.2")
    assert [one.name for one in plan.contenders[:2]] == [
        "ViT+patch=4+weight_decay=0.01",
        "ViT+patch=4+weight_decay=0.05",
    ]
    assert [one.name for one in plan.contenders[6:]] == ["CNN+mixup=0", "CNN+mixup=0.2"]


def test_a_sweep_is_the_study_of_contenders_written_out(plan_file: Path, tmp_path: Path) -> None:
    """The same plan, so the same runs, statistics and report."""
    swept = plan_in(plan_file, "--sweep.ViT.mixup=0,0.4")
    by_hand = plan_in(plan_file, "--contenders.ViT.mixup=0").contender("ViT")
    assert swept.contender("ViT+mixup=0").model == by_hand.model
    assert swept.contender("ViT+mixup=0.4").model == plan_in(plan_file).contender("ViT").model


def test_a_match_is_to_the_first_variant(plan_file: Path) -> None:
    plan = plan_in(plan_file, "--contenders.CNN.match=flops", "--sweep.ViT.net.init_args.patch=2,4")
    assert plan.contender("CNN").match_to == "ViT+patch=2"
    named = plan_in(
        plan_file, "--contenders.CNN.match=flops", "--contenders.CNN.match_to=ViT", "--sweep.ViT.mixup=0,0.2"
    )
    assert named.contender("CNN").match_to == "ViT+mixup=0"


def test_every_variant_matches_for_itself(plan_file: Path) -> None:
    plan = plan_in(
        plan_file,
        "--contenders.ViT.net.init_args.width=64",
        "--contenders.CNN.match=flops",
        "--sweep.CNN.net.init_args.blocks=1,2",
    )
    resolved = resolve(plan, Digits())
    one, two = (resolved.matched[f"CNN+blocks={blocks}"] for blocks in (1, 2))
    assert one.wanted == two.wanted
    assert one.width > two.width
    assert ResolvedPlan.from_plain(resolved.to_plain()) == resolved


def test_all_images_are_one_size(plan_file: Path) -> None:
    plan = plan_in(plan_file, "--sizes=all")
    resolved = resolve(plan, Digits())
    assert (plan.sizes, resolved.sizes, resolved.tuned_sizes) == ("all", (1438,), (1438,))
    assert ResolvedPlan.from_plain(resolved.to_plain()) == resolved


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("mixup", 0.2, "mixup=0.2"),
        ("net.init_args.patch", 2, "patch=2"),
        ("optimizer", "torch.optim.AdamW", "optimizer=AdamW"),
        ("net.init_args.pretrained", "my weights/a.safetensors", "pretrained=my-weights-a.safetensors"),
        ("schedule", {"warmup": 0.1}, "schedule=warmup-0.1"),
        ("distillation", None, "distillation=null"),
        ("freeze_statistics", True, "freeze_statistics=true"),
    ],
)
def test_a_variant_has_a_name_that_a_folder_may_have(option: str, value: object, expected: str) -> None:
    assert label(option, value) == expected
    assert NAME.fullmatch(expected)


def test_combinations_and_their_arguments() -> None:
    (first, values), *rest = combinations("A", {"x.y": [1, "b"], "z": [None, [1, 2]]})
    assert (first, values) == ("A+y=1+z=null", {"x.y": 1, "z": None})
    assert [name for name, _ in rest] == ["A+y=1+z=1-2", "A+y=b+z=null", "A+y=b+z=1-2"]
    assert overrides("A", rest[-1][1]) == ["--contenders.A.x.y=b", "--contenders.A.z=[1, 2]"]


def test_values_of_flags() -> None:
    given = [("--sweep.A.x.y", "1,2"), ("--steps", "3"), ("--sweep.A.z", "[[1, 2], [3]]"), ("--sweep.B.z", "a, b")]
    assert from_flags(given) == {"A": {"x.y": [1, 2], "z": [[1, 2], [3]]}, "B": {"z": ["a", "b"]}}


def test_later_values_win() -> None:
    assert merged({"A": {"x": [1], "y": [2]}}, {"A": {"y": [3]}, "B": {"z": [4]}}) == {
        "A": {"x": [1], "y": [3]},
        "B": {"z": [4]},
    }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--sweep.Swin.mixup=0,0.1"], "there is no contender 'Swin' to vary, but ViT, CNN"),
        (["--sweep.ViT.net.init_args.pach=2,4"], "Option 'pach' is not accepted"),
        (["--sweep.ViT.mixupp=0,0.1"], "--contenders.ViT.mixupp=0"),
        (["--sweep.ViT.mixup=a,b"], "contenders.ViT.mixup"),
        (["--sweep.ViT.mixup=0.1"], "sweep.ViT.mixup has 1 value: give it two or more, or set contenders.ViT.mixup"),
        (["--sweep.ViT.mixup"], "sweep.ViT.mixup has no values"),
        (["--sweep.ViT.mixup=0.1,0.1"], "sweep.ViT has a value twice"),
        (["--sweep.ViT.mixup=0,0.0"], "sweep.ViT has a value twice: ViT+mixup=0, ViT+mixup=0.0"),
        (["--sweep.ViT=0,1"], "sweep.ViT names no option"),
        (["--sweep.ViT.mixup=[0,"], "--sweep.ViT.mixup is a list of values such as 0.01,0.05, not '[0,'"),
        (["--sweep={ViT: {mixup: 1}}"], "sweep"),
        (["--sweep.ViT.optimizer.init_args.lr=0.1,0.2"], "a study chooses the learning rate of every contender"),
        (["--sweep.ViT.optimizer.lr=0.1,0.2"], "a study chooses the learning rate of every contender"),
        (["--contenders.CNN.match=flops", "--sweep.CNN.net.width=8,16"], "its width is chosen by its `match`"),
        (["--sweep.ViT.net.init_args.patch=3,4"], "patches of 3 do not divide"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    options: list[str],
    reason: str,
    plan_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", f"--config={plan_file}", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert list(tmp_path.iterdir()) == [plan_file]


def test_given_rates_are_compared_where_none_is_chosen(plan_file: Path) -> None:
    plan = plan_in(plan_file, "--rate_factors=[1]", "--sweep.ViT.optimizer.init_args.lr=0.001,0.01")
    assert [one.rate for one in plan.contenders] == [0.001, 0.01, 0.002]


def test_optimizers_may_have_rates_of_their_own(plan_file: Path) -> None:
    plan = plan_in(
        plan_file,
        "--sweep.ViT.optimizer={class_path: torch.optim.AdamW, init_args: {lr: 0.002}},"
        "{class_path: torch.optim.SGD, init_args: {lr: 0.1}}",
    )
    assert [(one.name, one.rate) for one in plan.contenders[:2]] == [
        ("ViT+optimizer=class_path-AdamW-init_args-lr-0.002", 0.002),
        ("ViT+optimizer=class_path-SGD-init_args-lr-0.1", 0.1),
    ]


def test_a_contender_alone_is_varied(plan_file: Path) -> None:
    text = plan_file.read_text()
    plan_file.write_text(text[: text.index("  CNN:")])
    with pytest.raises(UsageError, match="at least two contenders"):
        plan_in(plan_file)
    assert len(plan_in(plan_file, "--sweep.ViT.mixup=0,0.4").contenders) == 2
