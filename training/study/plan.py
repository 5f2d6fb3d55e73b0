"""The plan of a study as plain data: contenders, sizes, seeds, and the length of a run."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from vitrail.errors import UsageError

Plain = dict[str, Any]
Mode = Literal["trained-out", "equal-steps", "equal-epochs"]
Measure = Literal["flops", "parameters", "latency"]
Device = Literal["auto", "cpu", "gpu"]
Precision = Literal["32-true", "bf16-mixed", "auto"]
All = Literal["all"]

MIN_SEEDS = 3
MIN_RATE_SEEDS = 2
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")  # usable as the name of a folder


@dataclass(frozen=True)
class Contender:
    """A model in the comparison.

    `model` and `augment` are the sections `model` and `data.augment` of a recipe of `vitrail fit`. With `match`, its
    width is chosen to cost as much as the contender `match_to`. `weights` is the SHA-256 of the file it starts from.
    """

    name: str
    model: Plain
    augment: tuple[Plain, ...] = ()
    match: Measure | None = None
    match_to: str | None = None
    weights: str | None = None

    @property
    def varied(self) -> str | None:
        """The contender that it is a variant of, in a sweep: called after it and the values of its options."""
        before, equals, _ = self.name.partition("=")
        return before.rpartition("+")[0] if equals else None

    @property
    def rate(self) -> float:
        """The learning rate of its optimizer, of which multiples are tried."""
        return float(self.model["optimizer"]["init_args"]["lr"])

    def with_width(self, width: int) -> "Contender":
        return self.with_net(width=width)

    def with_net(self, **options: Any) -> "Contender":
        """The same with these options of its network."""
        net = self.model["net"]
        changed = {**net, "init_args": {**net["init_args"], **options}}
        return replace(self, model={**self.model, "net": changed})


@dataclass(frozen=True)
class Geometric:
    """Sizes that grow by a constant factor from the smallest to the largest; the default largest is all images."""

    smallest: int
    largest: int | None = None
    count: int = 5


@dataclass(frozen=True)
class Plan:
    """A whole study; its results depend only on this, the images and the versions of the packages."""

    name: str
    data: Plain
    contenders: tuple[Contender, ...]
    sizes: tuple[int, ...] | Geometric | All  # all: one size, every image
    expected: str = ""  # free text, shown beside the result
    seeds: tuple[int, ...] = (0, 1, 2)
    mode: Mode = "trained-out"
    steps: int = 300  # trained-out: of the shortest runs, which are doubled
    validate_every: int = 30  # grows with the steps
    most_steps: int = 9600
    tolerance: float = 0.05  # the gain of doubling, as a share of the error, up to which a run is trained out
    epochs: int = 100
    patience: int = 10
    gradient_clip: float | None = 1.0
    rate_factors: tuple[float, ...] = (1 / 3, 1.0, 3.0)
    rate_seeds: tuple[int, ...] = (1000, 1001)
    threads: int = 1
    device: Device = "auto"
    precision: Precision = "32-true"

    def __post_init__(self) -> None:
        for one in (self.name, *(contender.name for contender in self.contenders)):
            if not NAME.fullmatch(one):
                raise UsageError(f"'{one}' is not usable as the name of a folder: use letters, digits and . _ + = -")
        if len(self.contenders) < 2:
            raise UsageError("a study compares at least two contenders: name them under `contenders`")
        refuse_repeated("contender", (contender.name.lower() for contender in self.contenders))
        self._check_sizes()
        self._check_seeds()
        self._check_length()
        for contender in self.contenders:
            check_match(contender, self.contenders)

    @property
    def has_trials(self) -> bool:
        """Whether runs with seeds of their own choose learning rates or lengths."""
        return len(self.rate_factors) > 1 or self.mode == "trained-out"

    @property
    def validations(self) -> int:
        """Of a run, whatever its length."""
        return self.steps // self.validate_every

    def contender(self, name: str) -> Contender:
        return next(contender for contender in self.contenders if contender.name == name)

    def _check_sizes(self) -> None:
        if isinstance(self.sizes, Geometric):
            last = self.sizes.largest
            if self.sizes.smallest < 1 or (last is not None and last <= self.sizes.smallest):
                raise UsageError(f"sizes grow from a smaller to a larger one, not from {self.sizes.smallest} to {last}")
            if self.sizes.count < 2:
                raise UsageError(f"a curve has at least 2 sizes, not {self.sizes.count}")
            return
        if self.sizes == "all":
            return
        if not self.sizes:
            raise UsageError("a study needs at least one size: give `sizes`, or all")
        refuse_repeated("size", self.sizes)
        object.__setattr__(self, "sizes", tuple(sorted(self.sizes)))

    def _check_seeds(self) -> None:
        refuse_repeated("seed", self.seeds)
        if len(self.seeds) < MIN_SEEDS:
            raise UsageError(f"{len(self.seeds)} seed(s) are too few to estimate a spread: give at least {MIN_SEEDS}")
        shared = sorted(set(self.seeds) & set(self.rate_seeds))
        if shared:
            raise UsageError(
                f"seed {shared[0]} is reported and chooses learning rates, which would bias its result: "
                "give `rate_seeds` others"
            )
        if self.has_trials and len(self.rate_seeds) < MIN_RATE_SEEDS:
            raise UsageError(
                f"learning rates and the length of runs are chosen with {MIN_RATE_SEEDS} seeds or more, not "
                f"{len(self.rate_seeds)}: give `rate_seeds`, or a single rate factor and equal steps"
            )

    def _check_length(self) -> None:
        for name in ("steps", "validate_every", "most_steps", "epochs", "patience", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.mode != "equal-epochs" and self.steps % self.validate_every:
            raise UsageError(
                f"{self.steps} steps do not end with a validation every {self.validate_every} steps: "
                "let `validate_every` divide `steps`"
            )
        if self.mode == "trained-out" and self.most_steps < 2 * self.steps:
            raise UsageError(
                f"whether {self.steps} steps are enough shows a run of twice as many: let `most_steps` be at least "
                f"{2 * self.steps}, not {self.most_steps}"
            )
        if not 0 < self.tolerance < 1:
            raise UsageError(f"`tolerance` is a share of the error between 0 and 1, such as 0.05, not {self.tolerance}")
        if not self.rate_factors or min(self.rate_factors) <= 0:
            raise UsageError("`rate_factors` need at least one factor, all of them above 0")
        refuse_repeated("rate factor", self.rate_factors)


def sizes_from(plain: Any) -> tuple[int, ...] | Geometric | All:
    if plain == "all":
        return "all"
    return Geometric(**plain) if isinstance(plain, dict) else tuple(plain)


def check_match(contender: Contender, contenders: Iterable[Contender]) -> None:
    """A contender may match one with a fixed width."""
    if contender.match is None:
        return
    known = {other.name: other for other in contenders}
    other = known.get(contender.match_to or "")
    if other is None or other.name == contender.name:
        raise UsageError(f"'{contender.name}' has nothing to match: name another contender as its `match_to`")
    if other.match is not None:
        raise UsageError(f"'{contender.name}' cannot match '{other.name}', which itself matches another contender")
    if contender.model["net"]["init_args"].get("name") is not None:
        raise UsageError(f"'{contender.name}' is a network of timm, whose width is fixed: remove its `match`")


def refuse_repeated(what: str, values: Iterable[Any]) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise UsageError(f"{what} {value} is given twice")
        seen.add(value)


def crossed(contenders: Iterable[Contender], augmentations: dict[str, list[Plain]]) -> tuple[Contender, ...]:
    """Every contender with every augmentation, named after both; matches stay within an augmentation."""
    if not augmentations:
        return tuple(contenders)
    return tuple(
        replace(
            contender,
            name=f"{contender.name}+{name}",
            augment=tuple(transforms),
            match_to=contender.match_to and f"{contender.match_to}+{name}",
        )
        for contender in contenders
        for name, transforms in augmentations.items()
    )
