"""Matched cost: FLOPs or parameters as near to those of another contender as a width allows."""

from itertools import pairwise
from pathlib import Path

import pytest

from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.models import CNN, ViT
from vitrail.models.network import count_flops, count_parameters
from vitrail.training.study.latency import milliseconds
from vitrail.training.study.matched_cost import nearest_width, resolve_widths
from vitrail.training.study.parsing import parse_study


def test_flops_and_parameters_are_those_of_the_nearest_width(plan_file: Path) -> None:
    for by, count in (("flops", lambda net: count_flops(net, InputRule(8))), ("parameters", count_parameters)):
        plan = parse_study([f"--config={plan_file}", f"--contenders.CNN.match={by}"]).plan
        contenders, matched = resolve_widths(plan, 10, InputRule(8))
        match = matched["CNN"]
        wanted = count(ViT(patch=4, width=16, depth=1, heads=2).build(10, 8))
        reached = {width: count(CNN(width=width, stages=2, blocks=1).build(10, 8)) for width in range(1, 40)}
        assert (match.wanted, match.reached) == (wanted, reached[match.width])
        assert match.width == min(reached, key=lambda width: abs(reached[width] / wanted - 1))
        assert contenders[1].model["net"]["init_args"]["width"] == match.width
        assert contenders[0] == plan.contenders[0]


def test_the_width_of_a_vit_is_divisible_by_its_heads(plan_file: Path) -> None:
    plan = parse_study([f"--config={plan_file}"]).plan
    width, reached = nearest_width(plan.contender("ViT"), lambda one: one.model["net"]["init_args"]["width"] ** 2, 1000)
    assert (width, reached) == (32, 1024)


def test_a_cost_out_of_reach_is_refused(plan_file: Path) -> None:
    plan = parse_study([f"--config={plan_file}"]).plan
    with pytest.raises(UsageError, match="does not cost as much"):
        nearest_width(plan.contender("CNN"), lambda one: 1.0, 2.0)


@pytest.mark.long
def test_a_wider_network_has_a_higher_latency(plan_file: Path) -> None:
    """A thousand times the operations; a smaller factor would depend on the load of the machine."""
    cnn = parse_study([f"--config={plan_file}"]).plan.contender("CNN")
    times = [milliseconds(cnn.with_width(width), 10, InputRule(8), 1) for width in (4, 128)]
    assert all(0 < one < other for one, other in pairwise(times))
