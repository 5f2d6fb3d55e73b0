"""How long a picture takes, as it lately was: what whoever comes next may have to expect."""

NEWEST = 0.1  # the share that the newest observation has in the whole


class Pace:
    """Seconds for one picture, a mean in which the past fades; 0 until something was seen."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def saw(self, seconds: float, pictures: int = 1) -> None:
        each = seconds / pictures
        self.seconds += NEWEST * (each - self.seconds) if self.seconds else each
