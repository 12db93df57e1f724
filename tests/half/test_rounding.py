"""Rounding to half precision: its definition over all fp16 values, and what a policy does with other values."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Dict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_fuse.half.rounding import HalfPolicy, rounded

HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16)
FINITE = np.sort(HALVES[np.isfinite(HALVES)].astype(np.float64))
TRUNCATE = HalfPolicy("t", rounding="truncate")
SATURATE = HalfPolicy("s", overflow="saturate")
FLUSH = HalfPolicy("f", subnormals="flushed")
BOTH = HalfPolicy("b", rounding="truncate", overflow="saturate", subnormals="flushed")
POLICIES = (HalfPolicy("n"), TRUNCATE, SATURATE, FLUSH, BOTH)


def one(value: float, policy: HalfPolicy, dtype: str = "float32") -> float:
    return float(rounded(np.array([value], dtype), policy)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_a_normal_half_stays_as_it_is(policy: HalfPolicy, dtype: str) -> None:
    normal = FINITE[np.abs(FINITE) >= 2.0**-14].astype(dtype)
    before = normal.copy()
    after = rounded(normal, policy)
    assert normal.tolist() == after.tolist()
    assert np.dtype(dtype) == after.dtype
    assert before.tolist() == normal.tolist()


@given(st.floats(-65503, 65503, width=32))
def test_nearest_is_the_nearest_half_and_of_two_the_even_one(value: float) -> None:
    above = int(np.searchsorted(FINITE, value))
    near = FINITE[max(above - 1, 0) : above + 1]
    distances = [abs(Fraction(float(half)) - Fraction(value)) for half in near]
    chosen = [float(half) for half, distance in zip(near, distances) if distance == min(distances)]
    even = [half for half in chosen if not np.float16(half).view(np.uint16) % 2] if len(chosen) > 1 else chosen
    assert even[0] == one(value, HalfPolicy("n"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_is_that_of_numpy_near_every_fp16_value(dtype: str) -> None:
    """Around each fp16 value, around the middle to the next one, and of any exponent; the sign of 0 included."""
    middles = np.append((FINITE[1:] + FINITE[:-1]) / 2, [65520.0, -65520.0]).astype(dtype)
    random = np.random.RandomState(0)
    scales = np.ldexp(np.ones(4096, dtype), random.randint(-120, 127, 4096))
    values = [FINITE.astype(dtype), middles, scales * random.randn(4096).astype(dtype), np.array([-0.0, np.inf], dtype)]
    for exact in values:
        for near in (exact, np.nextafter(exact, np.array(np.inf, dtype)), np.nextafter(exact, np.array(-9e9, dtype))):
            with np.errstate(over="ignore"):
                expected = near.astype(np.float16).astype(dtype)
            assert expected.tobytes() == rounded(near).tobytes()


def test_a_double_is_rounded_once() -> None:
    # Through float32 these would be ties, and go to the even half below.
    assert 1 + 2.0**-10 == one(1 + 2.0**-11 + 2.0**-40, HalfPolicy("n"), "float64")
    assert 2.0**-24 == one(2.0**-25 + 2.0**-60, HalfPolicy("n"), "float64")


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_a_small_number_is_off_by_no_more_than_the_policy_says_and_nearly_by_that(policy: HalfPolicy) -> None:
    small = np.linspace(0, 2.0**-14, 1 << 16)[:-1]
    largest = np.abs(rounded(small, policy) - small).max()
    assert 0.99 * policy.small_error < largest <= policy.small_error


@given(st.floats(-65504, 65504, width=64))
def test_truncation_is_the_next_half_towards_zero(value: float) -> None:
    expected = max(half for half in FINITE[np.searchsorted(FINITE, 0) :] if half <= abs(value))
    assert expected == abs(one(value, TRUNCATE, "float64"))
    assert value * one(value, TRUNCATE, "float64") >= 0


@pytest.mark.parametrize(
    ("value", "nearest", "truncated"),
    [
        (65519.9, 65504, 65504),
        (65520, np.inf, 65504),
        (65535.9, np.inf, 65504),
        (65536, np.inf, np.inf),
        (1e30, np.inf, np.inf),
    ],
)
def test_where_numbers_overflow(value: float, nearest: float, truncated: float) -> None:
    assert [nearest, -nearest] == [one(value, HalfPolicy("n")), one(-value, HalfPolicy("n"))]
    assert [truncated, -truncated] == [one(value, TRUNCATE), one(-value, TRUNCATE)]
    assert [min(nearest, 65504)] * 2 == [one(value, SATURATE), -one(-value, SATURATE)]


def test_infinity_stays_or_saturates_and_nan_stays() -> None:
    assert [np.inf, np.inf, 65504] == [one(np.inf, policy) for policy in (HalfPolicy("n"), TRUNCATE, SATURATE)]
    assert [True] * len(POLICIES) == [bool(np.isnan(one(np.nan, policy))) for policy in POLICIES]


@pytest.mark.parametrize(
    ("value", "kept", "flushed"),
    [(2.0**-24, 2.0**-24, 0), (2.0**-14 - 2.0**-24, 2.0**-14 - 2.0**-24, 0), (2.0**-14 - 2.0**-26, 2.0**-14, 2.0**-14)],
)
def test_subnormals_are_kept_or_flushed_after_the_rounding(value: float, kept: float, flushed: float) -> None:
    assert [kept, flushed] == [one(value, HalfPolicy("n")), one(value, FLUSH)]


def test_what_is_flushed_keeps_its_sign() -> None:
    assert np.signbit(one(-(2.0**-20), FLUSH))


@pytest.mark.parametrize("field", ["rounding", "overflow", "subnormals"])
def test_a_policy_that_does_not_exist_is_an_error(field: str) -> None:
    odd: Dict[str, Any] = {field: "odd"}
    with pytest.raises(ValueError, match=f"{field} 'odd' is neither"):
        HalfPolicy("x", **odd)
