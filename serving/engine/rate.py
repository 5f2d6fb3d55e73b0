"""How long an image takes, as it lately was: what whoever comes next may have to expect."""

from collections.abc import Iterator
from contextlib import contextmanager

NEWEST = 0.1  # the share that the newest observation has in the whole


class Pace:
    """Seconds for one image, a mean in which the past fades; 0 until something was seen."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def saw(self, seconds: float, images: int = 1) -> None:
        each = seconds / images
        self.seconds += NEWEST * (each - self.seconds) if self.seconds else each


class Line:
    """Who waits for a decoder: callers, all their images, and how long one image takes."""

    def __init__(self) -> None:
        self.callers = self.images = 0
        self.pace = Pace()

    @contextmanager
    def joined(self, images: int) -> Iterator[None]:
        self.callers += 1
        self.images += images
        try:
            yield
        finally:
            self.callers -= 1
            self.images -= images

    def seconds(self, decoders: int) -> float:
        """Until the next caller's turn: whoever has many images has one of them decoded, and then others theirs."""
        return self.callers * self.pace.seconds / decoders
