"""Boxes: overlaps, average precision of cases worked by hand, and what a prediction says."""

import numpy as np
import pytest

from vitrail.tasks import Detection
from vitrail.tasks.detection.predictions import NO_BOX, are_exact, average_precision, is_matching, overlaps, scored

TASK = Detection()
NAMES = ("cat", "dog")
LEFT, RIGHT, BELOW = [0.0, 0.0, 0.4, 0.4], [0.5, 0.0, 0.9, 0.4], [0.0, 0.5, 0.4, 0.9]
NOWHERE = [0.0, 0.0, 0.0, 0.0]


def target(*boxes: tuple[int, list[float]]) -> list[list[float]]:
    rows = [[float(label), *box] for label, box in boxes]
    return rows + [[float(NO_BOX)] * 5] * (3 - len(rows))


def query(box: list[float], cat: float, dog: float) -> list[float]:
    return [*box, cat, dog, 1 - cat - dog]


def test_overlaps_are_intersections_over_unions() -> None:
    boxes = np.array([LEFT, [0.2, 0.0, 0.6, 0.4], NOWHERE])
    expected = np.array([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(overlaps(boxes, boxes), expected, atol=1e-12)
    np.testing.assert_allclose(overlaps(np.array([LEFT]), np.array([RIGHT])), [[0]])


def test_a_query_finds_a_box_that_no_surer_one_has_found() -> None:
    predictions = np.array([[query(LEFT, 0.6, 0.1), query(LEFT, 0.8, 0.1), query(RIGHT, 0.3, 0.6)]])
    targets = np.array([target((0, LEFT), (0, RIGHT))])
    scores, hits, totals = scored(predictions, targets, 2)
    assert hits[0, :, 0].tolist() == [False, True, True]
    assert not hits[..., 1].any()
    assert totals.tolist() == [[2, 0]]
    assert scores[0, :, 0].tolist() == [0.6, 0.8, 0.3]


def test_average_precision_by_hand() -> None:
    """Hits in the order of scores: yes, no, yes, of three boxes: precision 1 up to a recall of 1/3, 2/3 up to 2/3."""
    scores, hits = np.array([[0.9, 0.8], [0.7, 0.1]]), np.array([[True, False], [True, False]])
    assert average_precision(scores, hits, np.array([2, 1])) == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)
    assert np.isnan(average_precision(scores, hits, np.array([0, 0])))


def test_perfect_predictions_have_an_average_precision_of_one() -> None:
    predictions = np.array(
        [[query(LEFT, 0.9, 0.1), query(RIGHT, 0.1, 0.9)], [query(BELOW, 1, 0), query(NOWHERE, 0, 0)]]
    )
    targets = np.array([target((1, RIGHT), (0, LEFT)), target((0, BELOW))])
    evaluation = TASK.evaluate(predictions, targets, NAMES)
    assert evaluation.accuracy is not None
    assert (evaluation.accuracy.hits, evaluation.accuracy.total) == (2, 2)
    (precision,) = evaluation.others
    assert (precision.name, precision.value) == ("AP50", 1.0)
    assert dict(evaluation.rows) == {"cat": (1.0, 2.0), "dog": (1.0, 1.0)}


def test_a_box_too_many_or_in_another_place_is_a_mistake() -> None:
    wanted = np.array([target((0, LEFT), (0, RIGHT))])
    cases = {
        "exact": ([LEFT, RIGHT], [0.9, 0.9], True),
        "in another order": ([RIGHT, LEFT], [0.9, 0.9], True),
        "twice the same": ([LEFT, LEFT], [0.9, 0.9], False),
        "one missing": ([LEFT, RIGHT], [0.9, 0.2], False),
        "one elsewhere": ([LEFT, BELOW], [0.9, 0.9], False),
    }
    for boxes, scores, expected in cases.values():
        rows = np.array([[query(box, score, 0) for box, score in zip(boxes, scores, strict=True)]])
        assert are_exact(TASK.decisions(rows), rows[..., :4], wanted).tolist() == [expected]
    three = np.array([[query(LEFT, 0.9, 0), query(RIGHT, 0.9, 0), query(BELOW, 0, 0.9)]])
    assert are_exact(TASK.decisions(three), three[..., :4], wanted).tolist() == [False]


def test_matchings_are_found_where_the_first_choice_fails() -> None:
    assert is_matching(np.array([[True, True], [True, False]]))
    assert not is_matching(np.array([[True, False], [True, False]]))
    assert is_matching(np.zeros((0, 0), bool))


def test_the_payload_has_boxes_alone_the_surest_first() -> None:
    rows = np.array([query(LEFT, 0.6, 0.1), query([0.5, -0.1, 1.2, 0.4], 0.1, 0.8), query(BELOW, 0.2, 0.2)], np.float32)
    payload = TASK.payload({"detections": rows}, NAMES, 1)
    assert [(box["label"], box["index"]) for box in payload["boxes"]] == [("dog", 1), ("cat", 0)]
    assert payload["boxes"][0]["box"] == pytest.approx([0.5, 0.0, 1.0, 0.4])
    assert payload["boxes"][0]["probability"] == pytest.approx(0.8)
    assert TASK.text(payload) == "dog 0.800 from 50, 0 to 100, 40 %, cat 0.600 from 0, 0 to 40, 40 %"
    assert TASK.text(TASK.payload({"detections": rows[2:]}, NAMES, 1)) == "no box"


def test_the_interval_holds_the_value_and_is_narrower_with_more_images() -> None:
    random = np.random.default_rng(0)
    widths = []
    for count in (30, 300):
        boxes = [[query(LEFT, p, 0), query(RIGHT, q, 0)] for p, q in random.uniform(0, 1, (count, 2))]
        wanted = [target((0, LEFT)) if one > 0.4 else target((0, BELOW)) for one in random.uniform(0, 1, count)]
        (precision,) = TASK.evaluate(np.array(boxes), np.array(wanted), NAMES).others
        assert precision.low < precision.value < precision.high
        widths.append(precision.high - precision.low)
    assert widths[1] < widths[0]
