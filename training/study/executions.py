"""How each contender's network computes fastest on this machine, measured once a study: `precision: auto`."""

import torch

from vitrail.images.canvas import InputRule
from vitrail.training.precision import Execution, measure_training
from vitrail.training.study.building import build_module
from vitrail.training.study.plan import Contender, Plan


def executions(plan: Plan, contenders: tuple[Contender, ...], classes: int, rule: InputRule) -> dict[str, Execution]:
    """By contender; as given where the plan names a precision."""
    if plan.precision != "auto":
        return {one.name: Execution(plan.precision) for one in contenders}
    device = "cuda" if torch.cuda.is_available() and plan.device != "cpu" else "cpu"
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        return {one.name: fastest(one, classes, rule, plan.data["batch_size"], device) for one in contenders}
    finally:
        torch.set_num_threads(before)


def fastest(contender: Contender, classes: int, rule: InputRule, batch: int, device: str) -> Execution:
    with torch.random.fork_rng(devices=[]):
        module, _ = build_module(contender, classes, rule)
    return measure_training(module.net, module.input, batch, device).best
