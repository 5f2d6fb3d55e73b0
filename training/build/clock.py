"""The time of a build: what is left of it, before each line."""

from collections.abc import Callable
from time import monotonic

Say = Callable[[str], None]
BETWEEN_LINES = 10  # seconds


class Clock:
    """Counts down from the minutes that were given, less those that earlier calls took."""

    def __init__(self, minutes: float, used: float, write: Say) -> None:
        self.begin = self.said = monotonic()
        self.used = used
        self.end = self.begin + 60 * minutes - used
        self.write = write

    @property
    def seconds(self) -> float:
        """Of work, earlier calls included."""
        return self.used + monotonic() - self.begin

    @property
    def left(self) -> float:
        return max(0.0, self.end - monotonic())

    def say(self, text: str) -> None:
        self.said = monotonic()
        self.write(f"{minutes(self.left)} left  {text}")

    def counting(self, what: str) -> Callable[[int, int], None]:
        """Says how many of all are done, where nothing else was said for a while."""

        def show(done: int, count: int) -> None:
            if monotonic() - self.said > BETWEEN_LINES and done < count:
                self.say(f"{what} {done:,} of {count:,} images")

        return show


def minutes(seconds: float) -> str:
    """12:05"""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"
