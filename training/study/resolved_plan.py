"""A settled plan: what was asked, made exact for these images; `plan.json` in the study's folder."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from json import dumps, loads
from typing import Any

from vitrail.data import Source
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.training.study.building import network_of
from vitrail.training.study.learning_rates import tuned_sizes
from vitrail.training.study.matched_cost import Matched, settle_widths
from vitrail.training.study.plan import Contender, Geometric, Plain, Plan
from vitrail.training.study.sizes import settle_sizes


@dataclass(frozen=True)
class ResolvedPlan:
    """A plan with its sizes as numbers, its contenders with their widths, and the images that it is for."""

    plan: Plan
    source: str
    fingerprint: str
    classes: tuple[str, ...]
    sizes: tuple[int, ...]
    contenders: tuple[Contender, ...]
    matched: dict[str, Matched]

    @property
    def rule(self) -> InputRule:
        return InputRule(self.plan.data["size"], self.plan.data["resize"])

    @property
    def rates_are_tried(self) -> bool:
        return len(self.plan.rate_factors) > 1

    @property
    def tuned_sizes(self) -> tuple[int, ...]:
        return tuned_sizes(self.sizes)

    def contender(self, name: str) -> Contender:
        return next(contender for contender in self.contenders if contender.name == name)

    def to_plain(self) -> Plain:
        plain: Plain = loads(dumps(asdict(self)))
        return {"hash": hash_of(plain), **plain}

    @classmethod
    def from_plain(cls, plain: Plain) -> "ResolvedPlan":
        return cls(
            plan=plan_from(plain["plan"]),
            source=plain["source"],
            fingerprint=plain["fingerprint"],
            classes=tuple(plain["classes"]),
            sizes=tuple(plain["sizes"]),
            contenders=tuple(contender_from(told) for told in plain["contenders"]),
            matched={name: Matched(**told) for name, told in plain["matched"].items()},
        )


def settle(plan: Plan, source: Source) -> ResolvedPlan:
    if source.task != "classification":
        raise UsageError(f"{source.name} asks for {source.task}: a study compares models that give one label an image")
    sizes = settle_sizes(plan.sizes, source)
    rule = InputRule(plan.data["size"], plan.data["resize"])
    contenders, matched = settle_widths(plan, len(source.classes), rule)
    for contender in contenders:  # what cannot be built is told before anything has run
        network_of(contender, len(source.classes), rule.size)
    return ResolvedPlan(plan, source.name, source.fingerprint, source.classes, sizes, contenders, matched)


def plan_from(plain: Plain) -> Plan:
    sizes = plain["sizes"]
    return Plan(
        **{
            **plain,
            "contenders": tuple(contender_from(told) for told in plain["contenders"]),
            "sizes": Geometric(**sizes) if isinstance(sizes, dict) else tuple(sizes),
            **{key: tuple(plain[key]) for key in ("seeds", "rate_factors", "rate_seeds")},
        }
    )


def contender_from(plain: Plain) -> Contender:
    return Contender(**{**plain, "augment": tuple(plain["augment"])})


def hash_of(plain: Any) -> str:
    return sha256(dumps(plain, sort_keys=True).encode()).hexdigest()


def differences(there: Any, here: Any, place: str = "") -> Iterator[str]:
    """Where two plans in plain data differ, each as `place: this there, that here`."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in [*there, *(key for key in here if key not in there)]:
            yield from differences(there.get(key), here.get(key), f"{place}.{key}" if place else key)
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for number, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from differences(one, other, f"{place}.{told(one, number)}")
    elif there != here:
        yield f"{place} is {dumps(there)} there and {dumps(here)} here"


def told(entry: Any, number: int) -> str:
    """A contender's own name says more than its place in a list."""
    return str(entry["name"]) if isinstance(entry, dict) and "name" in entry else str(number)
