"""Sweeps: a contender whose options are varied takes part once with every combination of their values."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from json import dumps
from typing import Any

import yaml

from vitrail.errors import UsageError
from vitrail.training.study.plan import Plain

Sweep = dict[str, dict[str, list[Any]]]  # contender, option, values
FLAG = "--sweep."
RATE = re.compile(r"optimizer(\.init_args)?\.lr")
WIDTH = re.compile(r"net(\.init_args)?\.width")
PACKAGES = re.compile(r"\b(\w+\.)+(?=[A-Z])")  # of a class
UNUSABLE = re.compile(r"[^A-Za-z0-9_.+-]+")  # in the name of a folder


def from_flags(given: Iterable[tuple[str, str]]) -> Sweep:
    """`--sweep.CONTENDER.OPTION 0.1,0.2`, of all such arguments."""
    sweep: Sweep = {}
    for flag, text in given:
        if flag.startswith(FLAG):
            name, _, option = flag.removeprefix(FLAG).partition(".")
            sweep.setdefault(name, {})[option] = values_in(flag, text)
    return sweep


def values_in(flag: str, text: str) -> list[Any]:
    """Separated by commas, with or without brackets."""
    try:
        values = yaml.safe_load(text if text.startswith("[") else f"[{text}]")
    except yaml.YAMLError as fault:
        raise UsageError(f"{flag} is a list of values such as 0.01,0.05, not '{text}'") from fault
    return list(values)


def merged(sweep: Sweep, later: Sweep) -> Sweep:
    """Of an option in both, the later values."""
    return {name: {**sweep.get(name, {}), **later.get(name, {})} for name in (*sweep, *later)}


def check(sweep: Sweep, contenders: Mapping[str, Plain], rate_factors: Sequence[float]) -> None:
    for name, options in sweep.items():
        if name not in contenders:
            raise UsageError(f"sweep: there is no contender '{name}' to vary, but {', '.join(contenders) or 'none'}")
        for option, values in options.items():
            if not option:
                raise UsageError(f"sweep.{name} names no option: give one, such as sweep.{name}.mixup")
            if len(values) < 2:
                raise UsageError(
                    f"sweep.{name}.{option} has {len(values) or 'no'} value{'s' if not values else ''}: give it two or "
                    f"more, or set contenders.{name}.{option}"
                )
            if RATE.fullmatch(option) and len(rate_factors) > 1:
                raise UsageError(
                    f"sweep.{name}.{option}: a study chooses the learning rate of every contender. Give the multiples "
                    "to try as `rate_factors`, or a single one, such as [1], to compare given rates"
                )
            if WIDTH.fullmatch(option) and contenders[name]["match"]:
                raise UsageError(f"sweep.{name}.{option}: its width is chosen by its `match`: remove one of them")


def combinations(name: str, options: Mapping[str, Sequence[Any]]) -> list[tuple[str, Plain]]:
    """The name of each variant of a contender, such as ViT+patch=2, with the values of its options."""
    chosen = [dict(zip(options, values, strict=True)) for values in product(*options.values())]
    return [("+".join([name, *(label(*one) for one in values.items())]), values) for values in chosen]


def label(option: str, value: Any) -> str:
    text = PACKAGES.sub("", text_of(value))
    return f"{option.rpartition('.')[2]}={UNUSABLE.sub('-', text).strip('-')}"


def overrides(name: str, values: Plain) -> list[str]:
    """The arguments that set these options of a contender."""
    return [f"--contenders.{name}.{option}={text_of(value)}" for option, value in values.items()]


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)
