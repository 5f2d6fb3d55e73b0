import numpy as np
import pytest

from vitrail.data.draws import Draws, mixed


def test_mixing_is_splitmix64() -> None:
    """The first outputs of the published generator with seed 1234567."""
    golden = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + i * golden) % 2**64 for i in range(5)], np.uint64)
    assert mixed(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_an_image_has_the_same_numbers_in_every_batch() -> None:
    together = Draws.of(3, 5, np.arange(100)).fork(1).uniform(4)
    alone = Draws.of(3, 5, np.array([42])).fork(1).uniform(4)
    assert np.array_equal(together[42:43], alone)
    assert np.array_equal(together, Draws.of(3, 5, np.arange(100)).fork(1).uniform(4))


@pytest.mark.parametrize(
    "other",
    [
        Draws.of(4, 5, np.arange(1000)).fork(1),
        Draws.of(3, 6, np.arange(1000)).fork(1),
        Draws.of(5, 3, np.arange(1000)).fork(1),
        Draws.of(3, 5, np.arange(1000)).fork(2),
        Draws.of(3, 5, np.arange(1000, 2000)).fork(1),
    ],
)
def test_other_keys_have_other_numbers(other: Draws) -> None:
    numbers = Draws.of(3, 5, np.arange(1000)).fork(1).uniform(3)
    assert abs(np.corrcoef(numbers.ravel(), other.uniform(3).ravel())[0, 1]) < 0.1


def test_numbers_are_uniform_and_independent() -> None:
    numbers = Draws.of(0, 0, np.arange(40_000)).uniform(3)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram(numbers, bins=100, range=(0, 1))[0]
    assert ((counts - 1200) ** 2 / 1200).sum() < 160  # χ² of 99 degrees: above in 1 of 10,000
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.03


def test_bytes_are_uniform_and_those_of_the_image() -> None:
    noise = Draws.of(0, 0, np.arange(10_000)).bytes(13)
    assert noise.shape == (10_000, 13)
    counts = np.bincount(noise.ravel(), minlength=256)
    expected = noise.size / 256
    assert ((counts - expected) ** 2 / expected).sum() < 347  # χ² of 255 degrees: above in 1 of 10,000
    assert np.array_equal(noise[42:43], Draws.of(0, 0, np.array([42])).bytes(13))


def test_seeds_differ_and_may_be_given_to_torch() -> None:
    seeds = Draws.of(0, 0, np.arange(10_000)).seeds()
    assert len(set(seeds.tolist())) == 10_000
    assert seeds.min() >= 0
