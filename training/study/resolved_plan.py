"""A resolved plan: sizes and widths computed for the images at hand; `plan.json` in the study's folder."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from json import dumps, loads
from typing import Any

from vitrail.data import Source
from vitrail.errors import UsageError
from vitrail.images.canvas import InputRule
from vitrail.tasks import TASKS
from vitrail.training.precision import PLAIN, Execution
from vitrail.training.study.building import load_weights, network_of
from vitrail.training.study.executions import executions
from vitrail.training.study.learning_rates import tuned_sizes
from vitrail.training.study.matched_cost import Matched, resolve_widths
from vitrail.training.study.plan import Contender, Plain, Plan, sizes_from
from vitrail.training.study.sizes import resolve_sizes


@dataclass(frozen=True)
class ResolvedPlan:
    """A plan with its sizes as numbers, its contenders with their widths, and the fingerprint of its images."""

    plan: Plan
    source: str
    fingerprint: str
    classes: tuple[str, ...]
    sizes: tuple[int, ...]
    contenders: tuple[Contender, ...]
    matched: dict[str, Matched]
    executions: dict[str, Execution]

    @property
    def rule(self) -> InputRule:
        return InputRule(self.plan.data["size"], self.plan.data["resize"])

    @property
    def tuned_sizes(self) -> tuple[int, ...]:
        return tuned_sizes(self.sizes)

    @property
    def hash(self) -> str:
        return str(self.to_plain()["hash"])

    def contender(self, name: str) -> Contender:
        return next(contender for contender in self.contenders if contender.name == name)

    def execution(self, contender: str) -> Execution:
        """In float32 in a plan of an earlier version."""
        return self.executions.get(contender, PLAIN)

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
            contenders=tuple(contender_from(one) for one in plain["contenders"]),
            matched={name: Matched(**one) for name, one in plain["matched"].items()},
            executions={name: Execution(**one) for name, one in plain.get("executions", {}).items()},
        )


def resolve(plan: Plan, source: Source) -> ResolvedPlan:
    if not TASKS[source.task].single_label:
        raise UsageError(f"{source.name} is for {source.task}: a study compares classification models only")
    if source.width is not None:
        raise UsageError(f"a study compares networks on images, and {source.name} has vectors")
    if plan.data["resize"] == "native":
        raise UsageError("a study compares networks on the same squares: choose another --data.resize than native")
    sizes = resolve_sizes(plan.sizes, source)
    rule = InputRule(plan.data["size"], plan.data["resize"])
    contenders, matched = resolve_widths(plan, len(source.classes), rule)
    for contender in contenders:  # fails here, before any run, if a network cannot be built
        network_of(contender, len(source.classes), rule)
        load_weights(contender, len(source.classes), rule)
    measured = executions(plan, contenders, len(source.classes), rule)
    return ResolvedPlan(plan, source.name, source.fingerprint, source.classes, sizes, contenders, matched, measured)


def plan_from(plain: Plain) -> Plan:
    return Plan(
        **{
            **plain,
            "contenders": tuple(contender_from(one) for one in plain["contenders"]),
            "sizes": sizes_from(plain["sizes"]),
            **{key: tuple(plain[key]) for key in ("seeds", "rate_factors", "rate_seeds")},
        }
    )


def contender_from(plain: Plain) -> Contender:
    return Contender(**{**plain, "augment": tuple(plain["augment"])})


def hash_of(plain: Any) -> str:
    return sha256(dumps(plain, sort_keys=True).encode()).hexdigest()


def differences(stored: Any, given: Any, path: str = "") -> Iterator[str]:
    """Differences between two plans in plain data, each as `path is X in the folder and Y here`."""
    if isinstance(stored, dict) and isinstance(given, dict):
        for key in [*stored, *(key for key in given if key not in stored)]:
            yield from differences(stored.get(key), given.get(key), f"{path}.{key}" if path else key)
    elif isinstance(stored, list) and isinstance(given, list) and len(stored) == len(given):
        for number, (one, other) in enumerate(zip(stored, given, strict=True)):
            yield from differences(one, other, f"{path}.{entry_name(one, number)}")
    elif stored != given:
        yield f"{path} is {shown(stored)} in the folder and {shown(given)} here"


def shown(value: Any) -> str:
    """Contenders by their names, all else as it is."""
    has_names = isinstance(value, list) and any(isinstance(one, dict) and "name" in one for one in value)
    return dumps([entry_name(one, number) for number, one in enumerate(value)] if has_names else value)


def entry_name(entry: Any, number: int) -> str:
    """The name of a contender, else the index."""
    return str(entry["name"]) if isinstance(entry, dict) and "name" in entry else str(number)
