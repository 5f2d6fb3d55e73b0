"""What a label and an hour of computing cost: kept in the folder of the study, shown by its report."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from vitrail.errors import DataError, UsageError
from vitrail.training.runs import write_json

PRICES = "prices.json"
CURRENCY = "€"


@dataclass(frozen=True)
class Prices:
    """As given; None where nothing was."""

    label: float | None = None  # of one label
    hour: float | None = None  # of an hour of one worker's computing
    currency: str | None = None

    def __post_init__(self) -> None:
        for option, amount in (("--label-cost", self.label), ("--hour-cost", self.hour)):
            if amount is not None and not 0 <= amount < math.inf:
                raise UsageError(f"{option} is an amount of money, such as 0.05, not {amount:g}")

    @property
    def are_given(self) -> bool:
        return self.label is not None or self.hour is not None


def keep_prices(folder: Path, given: Prices) -> None:
    """Those given replace those of earlier calls; the others stay."""
    changed = {key: value for key, value in asdict(given).items() if value is not None}
    if changed:
        write_json(folder / PRICES, asdict(read_prices(folder)) | changed)


def read_prices(folder: Path) -> Prices:
    path = folder / PRICES
    if not path.is_file():
        return Prices()
    try:
        return Prices(**json.loads(path.read_text()))
    except (ValueError, TypeError, UsageError) as fault:
        raise DataError(f"{path} is damaged: remove it") from fault
