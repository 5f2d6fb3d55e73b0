"""Sequences: where they end, distances between them, and figures of a case worked out by hand."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrail.tasks import LabelSequence
from vitrail.tasks.sequence.predictions import ENDED, edit_distance

from ..figures import metrics

NAMES = ("ash", "birch")
END = 2  # the class of the end
TASK = LabelSequence()


def logits_of(*sequences: list[int]) -> NDArray[np.float64]:
    """Logits [N, L, 3] whose best classes are these; each is ahead by its place, from 3 down to 1."""
    ahead = np.array([3.0, 2.0, 1.0])[None, :, None]
    logits: NDArray[np.float64] = np.eye(3)[np.array(sequences)] * ahead
    return logits


def test_a_sequence_is_over_at_its_first_end() -> None:
    logits = logits_of([0, 1, 1], [1, END, 0], [END, 1, END])
    assert TASK.decisions(logits).tolist() == [[0, 1, 1], [1, ENDED, ENDED], [ENDED] * 3]
    np.testing.assert_array_equal(TASK.decided(TASK.probabilities(logits)), TASK.decisions(logits))


def test_a_decision_is_as_sure_as_those_before_it() -> None:
    logits = logits_of([0, 1, 1])[:, [2, 0, 1]]
    assert TASK.margins(logits).tolist() == [[1.0, 1.0, 1.0]]
    assert TASK.margins(logits_of([0, 1, 1])).tolist() == [[3.0, 2.0, 1.0]]


def test_places_after_another_decision_are_not_compared() -> None:
    expected, actual = logits_of([0, 1, 1], [0, 1, 1]), logits_of([0, 0, 0], [0, 1, 1])
    actual[:, 2] += 0.25
    differences = TASK.differences(expected, actual)
    assert differences[0, 1].tolist() == [2.0, 2.0, 0.0]
    assert differences[0, 2].tolist() == [0.0, 0.0, 0.0]
    assert differences[1, 2].tolist() == [0.25, 0.25, 0.25]


def test_figures_of_four_sequences() -> None:
    """An exact one; a label too few; one too many; and one of two labels replaced: 3 edits of 7 labels."""
    predictions = TASK.probabilities(logits_of([0, 1, END], [1, END, 0], [0, 0, END], [1, 1, END]))
    targets = np.array([[0, 1, ENDED], [1, 0, ENDED], [0, ENDED, ENDED], [1, 0, ENDED]])
    evaluation = TASK.evaluate(predictions, targets, NAMES)
    assert evaluation.accuracy is not None
    assert (evaluation.accuracy.hits, evaluation.accuracy.total) == (1, 4)
    assert metrics(evaluation)["label error rate"][0] == pytest.approx(3 / 7)
    assert dict(evaluation.rows) == {"1 labels": (0.0, 1.0), "2 labels": pytest.approx((1 / 3, 3.0))}


def test_a_longer_target_is_never_exact() -> None:
    evaluation = TASK.evaluate(TASK.probabilities(logits_of([0, 1, 1])), np.array([[0, 1, 1, 0]]), NAMES)
    assert evaluation.accuracy is not None
    assert evaluation.accuracy.hits == 0
    assert metrics(evaluation)["label error rate"][0] == pytest.approx(1 / 4)


def test_the_likelihood_counts_places_up_to_the_first_mistake() -> None:
    logits = logits_of([0, 1, 1], [0, END, 0], [1, 0, END])
    targets = np.array([[0, 0, 1], [0, ENDED, ENDED], [1, 0, ENDED]])
    log = np.log(TASK.probabilities(logits))
    counted = [log[0, 0, 0], log[0, 1, 0], log[1, 0, 0], log[1, 1, END], *log[2, [0, 1, 2], [1, 0, END]]]
    assert TASK.log_likelihood(logits, targets) == pytest.approx(sum(counted))
    confidence, correct = TASK.confidences(TASK.probabilities(logits), targets)
    assert correct.tolist() == [True, False, True, True, True, True, True]
    assert confidence == pytest.approx(np.exp([log[0, 0, 0], log[0, 1, 1], *counted[2:]]))


def test_the_payload_has_the_labels_and_the_probability_of_all() -> None:
    (probabilities,) = TASK.probabilities(logits_of([1, 0, END]))
    payload = TASK.payload({"probabilities": probabilities}, NAMES, 1)
    best = probabilities.max(axis=1)
    assert payload["sequence"] == [
        {"label": "birch", "index": 1, "probability": pytest.approx(best[0])},
        {"label": "ash", "index": 0, "probability": pytest.approx(best[1])},
    ]
    assert payload["probability"] == pytest.approx(best.prod())
    assert TASK.text(payload) == "birch ash"


def test_an_ended_sequence_is_as_probable_as_its_end() -> None:
    (probabilities,) = TASK.probabilities(logits_of([END, 0, 1]))
    payload = TASK.payload({"probabilities": probabilities}, NAMES, 1)
    assert payload == {"sequence": [], "probability": pytest.approx(probabilities[0, END])}


def test_long_sequences_have_evenly_spaced_golden_places() -> None:
    raw = np.arange(31 * 2).reshape(1, 31, 2)
    assert TASK.golden(raw)[0, ::2].tolist() == list(range(0, 62, 4))
    assert TASK.golden(raw[:, :3]).shape == (1, 6)


@pytest.mark.parametrize(("one", "other"), [*product(["", "a", "ab", "ba", "abc", "cab", "aab"], repeat=2)])
def test_edit_distances_are_those_of_the_definition(one: str, other: str) -> None:
    assert edit_distance([*map(ord, one)], [*map(ord, other)]) == by_definition(one, other)


def by_definition(one: str, other: str) -> int:
    if not one or not other:
        return len(one) + len(other)
    replaced = by_definition(one[1:], other[1:]) + (one[0] != other[0])
    return min(replaced, 1 + by_definition(one[1:], other), 1 + by_definition(one, other[1:]))
