"""Statistics of requests, by hand."""

import math

from vitrail.bench.serve.samples import Sample, due_between, goodput, percentile_ms, quantile, recovery, status_counts


def test_a_quantile_is_one_of_the_numbers() -> None:
    numbers = [float(number) for number in range(1, 101)]
    assert quantile(reversed(numbers), 0.99) == 99
    assert quantile(numbers, 0.5) == 50
    assert quantile([7.0], 0.99) == 7
    assert math.isnan(quantile([], 0.99))


def test_refusals_do_not_improve_percentiles() -> None:
    samples = [Sample(0, 0.2, 200), Sample(0, 0.001, 503), Sample(0, 0.4, 200), Sample(0, 0.001, 0)]
    assert percentile_ms(50, samples) == 200
    assert percentile_ms(99, samples) == 400
    assert status_counts(samples) == {0: 1, 200: 2, 503: 1}


def test_goodput_counts_responses_by_arrival() -> None:
    samples = [Sample(0.5, 0.6, 200), Sample(1.0, 0.5, 200), Sample(1.9, 0.5, 200), Sample(1.2, 0.1, 503)]
    assert goodput(samples, 1.0, 2.0) == 2
    assert due_between(samples, 1.0, 1.5) == [samples[1], samples[3]]


def test_recovery_ends_with_the_first_good_window() -> None:
    refused = [Sample(10 + i / 100, 0.001, 503) for i in range(50)]
    slow = [Sample(10.5 + i / 100, 3.0, 200) for i in range(50)]
    well = [Sample(11 + i / 100, 0.01, 200 if i else 503) for i in range(50)]
    assert recovery([*refused, *slow, *well], 10, 20, 0.1) == 1.5
    assert recovery([*refused, *slow], 10, 11, 0.1) is None
    assert recovery([], 10, 20, 0.1) is None
