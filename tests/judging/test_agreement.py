"""The measures of how near two arrays are, against numbers by hand."""

from __future__ import annotations

from typing import Optional, Tuple

import nets
import numpy as np
import pytest
from nets import layer, text

from caffe_fuse.judging.agreement import Energy, apart, distance, kinds, largest, ranking, snr

ONE = np.array([3.0, 4.0])


def test_a_ratio_of_ten_in_the_numbers_is_20_decibels() -> None:
    assert pytest.approx(20) == snr(ONE * 1.1, ONE)
    assert np.inf == snr(ONE, ONE)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_signal(wrong: float) -> None:
    assert -np.inf == snr(np.array([3.0, wrong]), ONE)


def test_the_cosine_is_of_the_angle_and_1_without_one() -> None:
    assert [pytest.approx(0.96), pytest.approx(-1)] == [Energy.of(each, ONE).cosine for each in (ONE[::-1], -2 * ONE)]
    assert 1.0 == Energy.of(0 * ONE, 0 * ONE).cosine


def test_numbers_are_apart_where_only_one_is_finite() -> None:
    broken = np.array([np.inf, -np.inf, np.nan])
    assert [0.0, 0.0] == [apart(broken, broken), apart(np.zeros(0), np.zeros(0))]
    assert 2.0 == apart(np.array([1.0, np.inf]), np.array([-1.0, np.inf]))
    for place in range(3):
        assert np.inf == apart(broken[place : place + 1], np.ones(1))
        assert np.inf == apart(broken[place : place + 1], broken[place - 1 : place or None])


def test_the_largest_magnitude_is_of_what_is_finite() -> None:
    assert [4.0, 5.0, 0.0] == [largest(np.array(each)) for each in ([3.0, -4.0], [np.inf, 5.0, np.nan], [-np.inf])]


@pytest.mark.parametrize("place", [0, 12_345, 99_999])
def test_a_distance_is_of_all_elements_wherever_they_are(place: int) -> None:
    """Arrays that are compared in several parts."""
    random = np.random.RandomState(0)
    truth = random.rand(10, 100, 100)
    found, noisy = truth.astype(np.float32), truth.astype(np.float32)
    found.reshape(-1)[place] += 2
    noisy.reshape(-1)[place] -= 3
    truth.reshape(-1)[-1 - place] = -4
    away = distance(found, noisy, truth)
    wide = found.astype(np.float64)
    assert [np.abs(wide - truth).max(), np.abs(noisy - truth).max(), 4.0] == list(away[:3])
    noise = np.sum(np.square(wide - truth))
    assert pytest.approx(10 * np.log10(np.sum(np.square(truth)) / noise)) == away.energy.snr
    assert pytest.approx(np.sum(wide * truth) / np.linalg.norm(wide) / np.linalg.norm(truth)) == away.energy.cosine


def test_where_the_net_itself_overflows_another_may_be_anything() -> None:
    truth, noisy = np.array([1e39, 1.0]), np.array([np.inf, 1.5])
    assert (0.25, 0.5) == distance(np.array([7.0, 1.25]), noisy, truth)[:2]
    assert (np.inf, 0.5) == distance(np.array([7.0, np.nan]), noisy, truth)[:2]


def test_of_equal_classes_the_first_comes_first() -> None:
    assert ((1, 5.0), (4, 5.0), (0, 2.0), (2, 2.0), (3, 2.0)) == ranking(np.array([2.0, 5, 2, 2, 5, 1]))


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((2, 3), 2), ((2, 3, 1, 1), 2), ((1, 2), 1), ((2, 1), None), ((3,), None), ((2, 3, 2), None), ((2, 1, 3), None)],
)
def test_a_row_is_of_several_classes(shape: Tuple[int, ...], rows: Optional[int]) -> None:
    kind = kinds(nets.model(text(layer("s", "Softmax", "x", "s")), None).net)["s"]
    found = kind.rows(np.arange(np.prod(shape)).reshape(shape))
    assert rows == (None if found is None else len(found))
    assert found is None or [0, 1] == found[0, :2].tolist()
