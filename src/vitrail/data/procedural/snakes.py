"""Dashed lines laid at random on canvases, for `pathfinder`; the images of a batch advance in lock-step."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from vitrail.data.draws import Draws

TRIALS = 3  # of a dash, before its snake begins anew
TURNS = 33  # directions that a dash may take
FAILURES = 4  # distractors given up, for each that is wanted, before an image does with fewer
LEAST_FREE = 0.01  # of the canvas

FREE, BORDER = 0, -1  # owners of pixels; n + 1 is dash n

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """Sizes in pixels. An image has a pair of snakes, of `dashes` each, and distractors a third as long."""

    side: int
    padding: int
    margin: int
    length: int  # of a dash
    thickness: float
    seed_distance: int  # between the starts of the pair
    disc: float  # radius
    continuity: float  # how straight snakes are
    clutter: int  # dashes of all distractors together
    dashes: int

    @property
    def pair(self) -> int:
        return 2 * self.dashes

    @property
    def distractor(self) -> int:
        return max(1, self.dashes // 3)

    @property
    def distractors(self) -> int:
        return self.clutter // self.distractor

    @property
    def most(self) -> int:
        return self.pair + self.distractor * self.distractors

    @property
    def room(self) -> float:
        """What a dash keeps free around it, except for the next dash."""
        return self.margin + self.thickness / 2 + 0.5

    def previous(self, index: Ints) -> Ints:
        """The dash that each follows, or -1 for the first of a snake; the pair's are numbered in turn."""
        of_pair = np.where(index < 2, -1, index - 2)
        of_distractor = np.where((index - self.pair) % self.distractor == 0, -1, index - 1)
        return np.where(index < self.pair, of_pair, of_distractor)

    def first(self, index: Ints) -> Ints:
        """The first dash of a distractor, or of the pair."""
        return np.where(index < self.pair, 0, index - (index - self.pair) % self.distractor)


@dataclass(eq=False)
class Snakes:
    """The dashes of a batch of images; pixel (0, 0) has its centre at (0, 0)."""

    starts: Floats  # [B, most, 2], down and across
    angles: Floats  # [B, most]
    counts: Ints  # [B]

    def take(self, rows: Ints, index: Ints) -> tuple[Floats, Floats]:
        """Start and angle of one dash in each of these images."""
        return self.starts[rows, index], self.angles[rows, index]


def lay(draws: Draws, rules: Rules) -> Snakes:
    """In each round every image tries one dash, until it has all."""
    canvas = Canvas(len(draws.keys), rules)
    round_number, rows = 0, np.arange(len(draws.keys))
    while len(rows):
        canvas.try_one(rows, Draws(draws.keys[rows]).fork(round_number).uniform(3))
        rows = rows[~canvas.done(rows)]
        round_number += 1
    return canvas.snakes


class Canvas:
    """The snakes laid so far, and the dash that owns each pixel."""

    def __init__(self, count: int, rules: Rules) -> None:
        self.rules = rules
        self.snakes = Snakes(np.zeros((count, rules.most, 2)), np.zeros((count, rules.most)), np.zeros(count, np.int64))
        side, inside = rules.side, slice(rules.padding, rules.side - rules.padding)
        self._owners = np.full((count, side, side), BORDER, np.int16)
        self._owners[:, inside, inside] = FREE
        self._trials = np.zeros(count, np.int64)
        self._failures = np.zeros(count, np.int64)

    def done(self, rows: Ints) -> Bools:
        given_up = self._failures[rows] >= FAILURES * self.rules.distractors
        done: Bools = given_up | (self.snakes.counts[rows] == self.rules.most)
        return done

    def try_one(self, rows: Ints, numbers: Floats) -> None:
        """The next dash of each image, where it has room."""
        index = self.snakes.counts[rows]
        previous = self.rules.previous(index)
        start, angle, possible = self._proposed(rows, index, previous, numbers)
        down, across, distance = around(start, angle, self.rules.length, self.rules.room)
        covered = distance <= self.rules.room
        owners = self._owners_at(rows, down, across)
        taken = covered & (owners != FREE) & (owners != previous[:, None, None] + 1)
        fits = possible & ~taken.any(axis=(1, 2))
        self._add(rows[fits], start[fits], angle[fits])
        image, _, _ = np.nonzero(covered := covered & fits[:, None, None] & (owners == FREE))
        self._owners[rows[image], down[covered], across[covered]] = index[image] + 1
        self._trials[rows[~fits]] += np.where(possible[~fits], 1, TRIALS)
        is_stuck, is_telling = self._trials[rows] >= TRIALS, self._is_telling(rows)
        # A pair goes back to a random one of its dashes: begun anew as a whole, long ones are seldom finished.
        counts = self.snakes.counts[rows]
        earlier = 2 * (numbers[:, 2] * ((counts + 1) // 2)).astype(np.int64)
        first = np.where(is_telling | (counts < self.rules.pair), earlier, self.rules.first(counts))
        self._begin_anew(rows[is_stuck | is_telling], first[is_stuck | is_telling])

    def _add(self, rows: Ints, start: Floats, angle: Floats) -> None:
        index = self.snakes.counts[rows]
        self.snakes.starts[rows, index], self.snakes.angles[rows, index] = start, angle
        self.snakes.counts[rows] += 1
        self._trials[rows] = 0

    def _is_telling(self, rows: Ints) -> Bools:
        """Whether the distance between the discs of a finished pair would tell whether they are on the same snake."""
        telling: Bools = self.snakes.counts[rows] == self.rules.pair
        telling[telling] = differences(self.snakes, rows[telling], self.rules).min(axis=1) > self.rules.margin
        return telling

    def _begin_anew(self, rows: Ints, first: Ints) -> None:
        """Take away the dashes from the first of these on."""
        owners = self._owners[rows]
        self._owners[rows] = np.where(owners > first[:, None, None], FREE, owners)
        self.snakes.counts[rows] = first
        self._trials[rows] = 0
        self._failures[rows] += first >= self.rules.pair

    def _proposed(self, rows: Ints, index: Ints, previous: Ints, numbers: Floats) -> tuple[Floats, Floats, Bools]:
        """Start and angle of the next dash, and whether there is one."""
        start, angle, possible = np.empty((len(rows), 2)), 2 * np.pi * numbers[:, 1], np.ones(len(rows), np.bool_)
        for some, propose in (
            (previous >= 0, self._following),
            (index == 1, self._beside),
            ((previous < 0) & (index != 1), self._anywhere),
        ):
            if some.any():
                chosen = propose(rows[some], previous[some], numbers[some, 0], angle[some])
                start[some], angle[some], possible[some] = chosen
        return start, angle, possible

    def _anywhere(self, rows: Ints, previous: Ints, number: Floats, angle: Floats) -> tuple[Floats, Floats, Bools]:
        """From a free pixel; a distractor needs a canvas that is not full."""
        free = (self._owners[rows] == FREE).reshape(len(rows), -1).cumsum(axis=1)
        pixel = (free > (number * free[:, -1])[:, None]).argmax(axis=1)
        is_full = free[:, -1] < LEAST_FREE * self.rules.side**2
        self._failures[rows[is_full]] = FAILURES * self.rules.distractors
        return np.stack(np.divmod(pixel, self.rules.side), axis=1).astype(np.float64), angle, ~is_full

    def _beside(self, rows: Ints, previous: Ints, number: Floats, angle: Floats) -> tuple[Floats, Floats, Bools]:
        """The other snake of the pair."""
        start = moved(self.snakes.starts[rows, 0], 2 * np.pi * number, self.rules.seed_distance)
        return start, angle, np.ones(len(rows), np.bool_)

    def _following(self, rows: Ints, previous: Ints, number: Floats, angle: Floats) -> tuple[Floats, Floats, Bools]:
        """Ahead of the last dash, in a direction whose end is free; straight on is likeliest."""
        rules = self.rules
        last, straight = self.snakes.take(rows, previous)
        start = moved(last, straight, rules.length + 2 * rules.margin)
        turns = np.linspace(-np.pi / 2, np.pi / 2, TURNS) / rules.continuity
        angles = straight[:, None] + turns
        free = self._is_free(rows, start[:, None], angles)
        weights = (np.cos(rules.continuity * turns) ** 2 * free).cumsum(axis=1)
        chosen = (weights > (number * weights[:, -1])[:, None]).argmax(axis=1)
        return start, angles[np.arange(len(rows)), chosen], weights[:, -1] > 0

    def _is_free(self, rows: Ints, start: Floats, angles: Floats) -> Bools:
        """Whether dashes [B, TURNS] would have room, by the points where they most often lack it."""
        length, room = self.rules.length, self.rules.room
        beside = [(length / part, side) for part in (1, 2) for side in (-room, room)]
        ahead, aside = np.array([(length + self.rules.margin, 0), *beside]).T
        sin, cos = np.sin(angles)[..., None], np.cos(angles)[..., None]
        down = np.rint(start[..., :1] + ahead * sin + aside * cos).astype(np.int64)
        across = np.rint(start[..., 1:] + ahead * cos - aside * sin).astype(np.int64)
        free: Bools = (self._owners_at(rows, down, across) == FREE).all(axis=-1)
        return free

    def _owners_at(self, rows: Ints, down: Ints, across: Ints) -> NDArray[np.int16]:
        """Of pixels [B, …]; beyond the canvas is the border."""
        most = self.rules.side - 1
        image = rows.reshape(-1, *[1] * (down.ndim - 1))
        owners: NDArray[np.int16] = self._owners[image, np.clip(down, 0, most), np.clip(across, 0, most)]
        return owners


def differences(snakes: Snakes, rows: Ints, rules: Rules) -> Floats:
    """How much farther, or less far, the start of either snake is from the other's end than from its own, [B, 2]."""
    starts = snakes.starts[rows, :2]
    last = slice(rules.pair - 2, rules.pair)
    ends = moved(snakes.starts[rows, last], snakes.angles[rows, last], rules.length)
    own, other = (np.linalg.norm(ends[:, order] - starts, axis=2) for order in ([0, 1], [1, 0]))
    out: Floats = np.abs(own - other)
    return out


def moved(points: Floats, angles: Floats, by: float) -> Floats:
    """Points [..., 2] shifted in a direction."""
    return points + by * np.stack([np.sin(angles), np.cos(angles)], axis=-1)


def around(start: Floats, angle: Floats, length: float, reach: float) -> tuple[Ints, Ints, Floats]:
    """The pixels around lines [B], their rows and columns, and their distance from the line, [B, P, P] each."""
    middle = np.round(moved(start, angle, length / 2)).astype(np.int64)
    span = np.arange(-(half := ceil(length / 2 + reach) + 1), half + 1)
    down = np.broadcast_to(middle[:, :1, None] + span[:, None], (len(start), len(span), len(span)))
    across = np.broadcast_to(middle[:, 1:, None] + span, down.shape)
    y, x = down - start[:, 0, None, None], across - start[:, 1, None, None]
    sin, cos = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    along = y * sin + x * cos
    return down, across, np.hypot(along - np.clip(along, 0, length), x * sin - y * cos)
