"""What `vitrail bench serve` is to measure, and how long."""

from dataclasses import dataclass

from vitrail.bench.core.rounds import MIN_ROUNDS
from vitrail.bench.serve.attackers import ATTACKERS
from vitrail.errors import UsageError

PARTS = ("load", "overload", "start", "attack")


@dataclass(frozen=True)
class Plan:
    """Parts: servers under load beside each other; ours under more than it can bear; starts, and memory at rest; and
    ours beside attackers, which is measured only where it is asked for: each attacker takes a minute."""

    model: str
    parts: tuple[str, ...] = PARTS[:3]
    connections: tuple[int, ...] = (1, 16, 64)
    rounds: int = 7
    seconds: float = 3.0
    overload_seconds: float = 120.0
    attackers: tuple[str, ...] = tuple(ATTACKERS)
    peers: str = ".peers"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.parts or not set(self.parts) <= set(PARTS):
            raise UsageError(f"parts of this measurement are {', '.join(PARTS)}, not {','.join(self.parts) or 'none'}")
        if not self.attackers or not set(self.attackers) <= ATTACKERS.keys():
            raise UsageError(f"attackers are {', '.join(ATTACKERS)}, not {','.join(self.attackers) or 'none'}")
        if self.rounds < MIN_ROUNDS:
            raise UsageError(f"{self.rounds} rounds say too little: measure at least {MIN_ROUNDS}")
        if not self.connections or min(self.connections) < 1:
            raise UsageError("there is at least 1 connection")
        if self.seconds <= 0 or self.overload_seconds <= 0:
            raise UsageError("a measurement takes more than 0 seconds")
