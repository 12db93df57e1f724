"""Rounding to half: numpy.float16 is the judge of rounding to the nearest, exact fractions of the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from caffe_fuse.rounding import IEEE, POLICIES, HalfPolicy, rounded

HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE = np.unique(np.abs(HALVES[np.isfinite(HALVES)]).astype(np.float64))  # 0 to 65504, ascending
TINY = 2.0**-14


def with_signs(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, -values])


def around(values: np.ndarray, dtype: Any) -> np.ndarray:
    """The numbers and the neighbours of each in dtype."""
    values = values.astype(dtype)
    up, down = np.nextafter(values, dtype(np.inf)), np.nextafter(values, dtype(-np.inf))
    return np.concatenate([values, up, down])


def edges(dtype: Any) -> np.ndarray:
    """All halves, the midpoints between them, 65520, 65536 and 2^-25, the neighbours of all these, both signs."""
    midpoints = (FINITE[:-1] + FINITE[1:]) / 2
    return with_signs(around(np.concatenate([FINITE, midpoints, [65520, 65536, 2.0**-25, 1e30]]), dtype))


def bits(values: np.ndarray) -> np.ndarray:
    """Of float64: 0 and -0 differ then."""
    return values.astype(np.float64).view(np.uint64)


def truncated(values: np.ndarray) -> np.ndarray:
    """The largest half that is not larger, by search in the list of all of them."""
    places = np.searchsorted(FINITE, np.abs(values.astype(np.float64)), side="right") - 1
    found = np.where(np.abs(values) >= 65536, np.inf, FINITE[places])
    return np.copysign(found, values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_nearest_half_is_that_of_numpy(dtype: Any) -> None:
    values = edges(dtype)
    with np.errstate(all="ignore"):
        expected = values.astype(np.float16)
    found = rounded(values, IEEE)
    assert dtype == found.dtype
    assert np.array_equal(bits(expected), bits(found))


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_half_stays_what_it_is_but_for_subnormals_that_are_flushed(policy: HalfPolicy, dtype: Any) -> None:
    values = with_signs(FINITE).astype(dtype)
    flushed = (policy.subnormals == "flushed") & (np.abs(values) < TINY)
    expected = np.where(flushed, np.copysign(0, values), values)
    assert np.array_equal(bits(expected), bits(rounded(values, policy)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_truncation_takes_the_half_below(dtype: Any) -> None:
    values = edges(dtype)
    assert np.array_equal(bits(truncated(values)), bits(rounded(values, POLICIES["truncate"])))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturation_changes_only_what_would_be_infinite(dtype: Any) -> None:
    values = edges(dtype)
    nearest = rounded(values, IEEE)
    expected = np.where(np.isinf(nearest), np.copysign(65504, values), nearest)
    assert np.array_equal(bits(expected), bits(rounded(values, POLICIES["saturate"])))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_flushing_makes_zeros_of_results_below_the_smallest_normal_half(dtype: Any) -> None:
    values = edges(dtype)
    nearest = rounded(values, IEEE)
    expected = np.where(np.abs(nearest) < TINY, np.copysign(0, values), nearest)
    assert np.array_equal(bits(expected), bits(rounded(values, POLICIES["flush"])))


@pytest.mark.parametrize(
    ("policy", "value", "expected"),
    [
        (IEEE, 65519.99, 65504),
        (IEEE, 65520, np.inf),
        (IEEE, 2.0**-25, 0),
        (IEEE, 2.0**-25 * 1.001, 2.0**-24),
        (HalfPolicy("t", "truncate"), 65535.99, 65504),
        (HalfPolicy("t", "truncate"), 65536, np.inf),
        (HalfPolicy("t", "truncate"), 2.0**-24 * 0.999, 0),
        (HalfPolicy("ts", "truncate", "saturate"), 65536, 65504),
        (HalfPolicy("ts", "truncate", "saturate"), -np.inf, -65504),
        (HalfPolicy("nf", subnormals="flushed"), TINY - 2.0**-25, TINY),
        (HalfPolicy("tf", "truncate", "inf", "flushed"), TINY - 2.0**-25, 0),
        (HalfPolicy("tf", "truncate", "inf", "flushed"), TINY, TINY),
    ],
)
def test_edges_of_each_policy(policy: HalfPolicy, value: float, expected: float) -> None:
    assert expected == float(rounded(np.float64(value), policy))


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_nan_stays_nan_and_no_array_is_changed(policy: HalfPolicy) -> None:
    values = np.array([[np.nan, 1 / 3], [1e-6, -1e9]], np.float32)
    before = values.copy()
    found = rounded(values, policy)
    assert (values.shape, np.float32) == (found.shape, found.dtype)
    assert [True, False, False, False] == np.isnan(found).ravel().tolist()
    assert np.array_equal(before, values, equal_nan=True)


def test_infinity_stays_infinite_unless_it_saturates() -> None:
    found = {name: float(rounded(np.float32(-np.inf), policy)) for name, policy in POLICIES.items()}
    assert {"ieee": -np.inf, "flush": -np.inf, "truncate": -np.inf, "saturate": -65504.0} == found
