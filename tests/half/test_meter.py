from __future__ import annotations

from typing import Dict, List, Optional, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pieces import Pieces

from caffe_fuse.blobs.blob import CHUNK, ArrayBlob, Blob
from caffe_fuse.half import rounding
from caffe_fuse.half.meter import BlobStats, Meter, Worst, stats_of
from caffe_fuse.half.rounding import IEEE, HalfPolicy
from caffe_fuse.half.targets import POLICIES

ALL_HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE_HALVES = ALL_HALVES[np.isfinite(ALL_HALVES)]
FLOAT_TYPES = [np.float32, np.float64]


def rounded(values: np.ndarray, policy: HalfPolicy = IEEE) -> np.ndarray:
    if policy != IEEE:
        return rounding.rounded(values.astype(np.float64), policy)
    with np.errstate(all="ignore"):
        return values.astype(np.float16).astype(np.float64)


def overflows(values: np.ndarray) -> np.ndarray:
    return np.isfinite(values) & (np.abs(values.astype(np.float64)) >= 65520)


def relative_errors(values: np.ndarray, policy: HalfPolicy = IEEE) -> np.ndarray:
    """Returns the relative error of every element; 0 if there is none, or if the result is not finite."""
    halves, exact = rounded(values, policy), values.astype(np.float64)
    counts = np.isfinite(values) & ~overflows(values) & (exact != 0)
    errors = np.zeros(len(values))
    errors[counts] = np.abs(halves[counts] - exact[counts]) / np.abs(exact[counts])
    return errors


def expected_worst(values: np.ndarray, policy: HalfPolicy) -> Optional[Worst]:
    magnitudes = np.abs(values.astype(np.float64))
    errors = relative_errors(values, policy)
    broken = np.flatnonzero(~np.isfinite(magnitudes))
    if len(broken):
        index = int(broken[0])
    elif overflows(values).any():
        index = int(np.argmax(magnitudes))
    elif errors.any():
        index = int(np.argmax(errors))
    else:
        return None
    return Worst(index, float(values[index]))


def expected_stats(values: np.ndarray, policy: HalfPolicy = IEEE) -> BlobStats:
    """Returns the same stats by rounding every element. Compare as repr, where a NaN equals itself."""
    halves = np.abs(rounded(values, policy))
    finite = np.isfinite(values)
    magnitudes = np.abs(values[finite].astype(np.float64))
    return BlobStats(
        count=len(values),
        max_abs=float(magnitudes.max(initial=0)),
        min_nonzero=float(magnitudes[magnitudes > 0].min()) if (magnitudes > 0).any() else 0.0,
        overflow=int(overflows(values).sum()),
        clipped=int(((magnitudes > 65504) & (magnitudes < 65520)).sum()),
        subnormal=int(((halves > 0) & (halves < 2.0**-14)).sum()),
        underflow=int(((halves == 0) & (values != 0)).sum()),
        zeros=int((values == 0).sum()),
        nan=int(np.isnan(values).sum()),
        inf=int(np.isinf(values).sum()),
        worst=expected_worst(values, policy),
        max_relative_error=float(relative_errors(values, policy).max(initial=0)),
    )


def measured_both_ways(blob: Blob, policy: HalfPolicy = IEEE) -> BlobStats:
    """Returns the stats by a meter that watches the chunks, and together with other small arrays."""
    meter = Meter(np.empty(CHUNK, np.float32 if blob.dtype == np.float16 else blob.dtype), policy)
    for chunk in blob.chunks():
        meter.add(chunk)
    others = [np.array([7e4, np.nan, 1e-9]), np.array([1.1, -np.inf], np.float32)]
    if blob.count:
        together = stats_of([others[0], blob.array().reshape(-1), others[1]], policy)
        assert repr(meter.stats()) == repr(together[1])
    return meter.stats()


def measured(values: Sequence[float], dtype: type = np.float32) -> BlobStats:
    return measured_both_ways(ArrayBlob(np.array(values, dtype)))


@pytest.mark.parametrize("dtype", [np.float16, *FLOAT_TYPES])
def test_each_finite_half_is_exact(dtype: type) -> None:
    stats = measured_both_ways(ArrayBlob(FINITE_HALVES.astype(dtype)))
    assert (0.0, None) == (stats.max_relative_error, stats.worst)
    assert (2, 2 * 1023, 0, 0) == (stats.zeros, stats.subnormal, stats.underflow, stats.overflow)
    assert (65504.0, 2.0**-24) == (stats.max_abs, stats.min_nonzero)


@pytest.mark.parametrize("dtype", [np.float16, *FLOAT_TYPES])
def test_all_65536_halves_with_their_nans_are_classified(dtype: type) -> None:
    stats = measured_both_ways(ArrayBlob(ALL_HALVES.astype(dtype)))
    assert stats.worst is not None
    assert (2046, 2, False) == (stats.nan, stats.inf, stats.safe)
    assert (0x7C00, np.inf) == (stats.worst.index, stats.worst.value)


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("towards", [-np.inf, None, np.inf])
def test_at_and_beside_each_midpoint_of_two_halves_numbers_round_as_in_numpy(
    dtype: type, towards: Optional[float]
) -> None:
    steps = np.append(ALL_HALVES[:0x7C00].astype(dtype), dtype(65536))
    values = (steps[:-1] + steps[1:]) / dtype(2)
    if towards is not None:
        values = np.nextafter(values, dtype(towards))
    assert repr(expected_stats(values)) == repr(measured_both_ways(ArrayBlob(values)))
    # Alone, no element hides another.
    for index in (*range(40), *range(1000, 1048), *range(0x7BF0, 0x7C00)):
        value = values[index : index + 1]
        assert repr(expected_stats(value)) == repr(measured_both_ways(ArrayBlob(value)))


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("sign", [1, -1])
def test_each_class_begins_and_ends_at_its_limit(dtype: type, sign: int) -> None:
    def classes(limit: float) -> List[Dict[str, int]]:
        names = ("overflow", "clipped", "subnormal", "underflow")
        neighbours = [np.nextafter(dtype(limit), dtype(0)), limit, np.nextafter(dtype(limit), dtype(np.inf))]
        found = [measured([sign * value], dtype) for value in neighbours]
        return [{name: getattr(stats, name) for name in names if getattr(stats, name)} for stats in found]

    assert [{}, {}, {"clipped": 1}] == classes(65504)
    assert [{"clipped": 1}, {"overflow": 1}, {"overflow": 1}] == classes(65520)
    assert [{"subnormal": 1}, {}, {}] == classes(2.0**-14 - 2.0**-25)
    assert [{"underflow": 1}, {"underflow": 1}, {"subnormal": 1}] == classes(2.0**-25)


def test_a_double_is_rounded_once() -> None:
    # Through float32 it would become 1 + 2^-11 and then, as a tie, 1.
    above_the_tie = 1 + 2.0**-11 + 2.0**-40
    assert (2.0**-11 - 2.0**-40) / above_the_tie == measured([above_the_tie], np.float64).max_relative_error
    # Through float32 it would become 2^-25, a tie, and then 0.
    assert 1 == measured([2.0**-25 + 2.0**-60], np.float64).subnormal
    # Through float32 it would become 65520 and overflow.
    assert 1 == measured([65520 - 2.0**-30], np.float64).clipped


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_an_underflow_has_a_relative_error_of_one(dtype: type) -> None:
    stats = measured([1.0, -(2.0**-26), 0.25], dtype)
    assert (1, 1.0, Worst(1, -(2.0**-26))) == (stats.underflow, stats.max_relative_error, stats.worst)


def test_the_worst_element_is_the_first_nan_or_infinity() -> None:
    assert Worst(2, -np.inf) == measured([1, 1e6, -np.inf, np.nan, np.inf]).worst
    assert repr(Worst(2, np.nan)) == repr(measured([1, 1e6, np.nan, -np.inf]).worst)


def test_without_those_the_worst_element_is_the_largest_overflow() -> None:
    assert Worst(2, -3e6) == measured([1e-9, 1e6, -3e6, 2e6, 3e6]).worst


def test_otherwise_the_worst_element_has_the_largest_relative_error() -> None:
    # Both are midway between two fp16 values; the smaller of the two has the larger relative error.
    assert Worst(1, 1 + 2.0**-11) == measured([1 + 513 * 2.0**-10 + 2.0**-11, 1 + 2.0**-11, 2, 3]).worst


def test_of_equally_bad_elements_the_first_is_the_worst_whatever_their_class() -> None:
    normal = 1 + 2.0**-11
    small = 2049 * 500 * 2.0**-35
    assert relative_errors(np.array([normal]))[0] == relative_errors(np.array([small]))[0]
    for values in ([3.0, normal, small], [3.0, small, normal]):
        for size in (1, 2, 3):
            assert Worst(1, values[1]) == measured_both_ways(Pieces(np.array(values, np.float32), size)).worst


def test_zeros_do_not_hide_the_smallest_magnitude() -> None:
    stats = measured([0, 4, -0.25, -0.0, 0])
    assert (3, 0.25) == (stats.zeros, stats.min_nonzero)


def test_nan_and_infinity_do_not_hide_the_smallest_and_largest_finite_magnitude() -> None:
    stats = measured([np.nan, -7, np.inf, 3, -np.inf])
    assert (7.0, 3.0, 1, 2) == (stats.max_abs, stats.min_nonzero, stats.nan, stats.inf)


def test_a_blob_without_a_finite_number_has_no_magnitudes() -> None:
    stats = measured([np.nan, np.inf])
    assert (0.0, 0.0) == (stats.max_abs, stats.min_nonzero)


def test_an_empty_blob_is_safe() -> None:
    assert BlobStats(0, 0.0, 0.0, 0, 0, 0, 0, 0, 0, 0, None, 0.0) == measured([])


@pytest.mark.parametrize(
    ("value", "safe"), [(65519.0, True), (65520.0, False), (1e-30, True), (np.inf, False), (np.nan, False)]
)
def test_safe_means_that_every_number_rounds_to_a_finite_half(value: float, safe: bool) -> None:
    assert safe == measured([1.0, value]).safe


numbers = st.one_of(
    st.floats(width=32),
    st.floats(-1, 1, width=32),
    st.floats(2.0**-26, 2.0**-13, width=32),
    st.floats(65000, 66000, width=32),
    st.sampled_from([0.0, -0.0, 65504.0, 65520.0, -65520.0, 2.0**-14, 2.0**-24, 2.0**-25, 1 + 2.0**-11]),
)


@given(
    values=arrays.arrays(np.float32, st.integers(1, 60), elements=numbers),
    dtype=st.sampled_from([np.float16, *FLOAT_TYPES]),
    size=st.integers(1, 61),
    policy=st.sampled_from(list(POLICIES.values())),
)
def test_any_numbers_in_chunks_of_any_size_agree_with_rounding_them_all(
    values: np.ndarray, dtype: type, size: int, policy: HalfPolicy
) -> None:
    with np.errstate(all="ignore"):
        values = values.astype(dtype)
    assert repr(expected_stats(values, policy)) == repr(measured_both_ways(Pieces(values, size), policy))


@given(
    values=arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(width=64)),
    exponent=st.integers(-30, 20),
)
def test_any_doubles_agree_with_rounding_them_all(values: np.ndarray, exponent: int) -> None:
    # Their significands at magnitudes near the limits of a half.
    values = np.ldexp(np.frexp(values)[0], exponent)
    assert repr(expected_stats(values)) == repr(measured_both_ways(Pieces(values, 16)))


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("scale", [1e-7, 1e-4, 1.0, 3e4])
@pytest.mark.parametrize("floor", [0.0, 0.01])
@pytest.mark.parametrize("policy", ["ieee", "flush", "truncate"])
def test_many_random_numbers_agree_with_rounding_them_all(dtype: type, scale: float, floor: float, policy: str) -> None:
    values: np.ndarray = (np.random.RandomState(5).standard_normal(20_000) + floor).astype(dtype)
    values = (values[np.abs(values) > floor] * scale).astype(dtype)
    for size in (700, 3000, 20_000):
        pieces = Pieces(values, size)
        assert repr(expected_stats(values, POLICIES[policy])) == repr(measured_both_ways(pieces, POLICIES[policy]))


def test_a_largest_error_in_a_later_chunk_is_found_when_nothing_is_small() -> None:
    values = np.full(CHUNK + 50, 1.7, np.float32)
    values[CHUNK + 20] = 1 + 2.0**-11
    assert Worst(CHUNK + 20, 1 + 2.0**-11) == measured_both_ways(ArrayBlob(values)).worst


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("index", [1500, CHUNK - 1, CHUNK, CHUNK + 1500])
def test_a_tiny_error_does_not_hide_a_larger_one_behind_it(dtype: type, index: int) -> None:
    values: np.ndarray = np.ones(CHUNK + 3000, dtype)
    values[3] = np.nextafter(dtype(1), dtype(2))
    values[index] = 1.1
    assert repr(expected_stats(values)) == repr(measured_both_ways(ArrayBlob(values)))


@pytest.mark.parametrize("index", [0, CHUNK - 1, CHUNK, 2 * CHUNK, 2 * CHUNK + 4])
def test_an_overflow_is_found_at_both_ends_of_a_chunk(index: int) -> None:
    values = np.ones(2 * CHUNK + 5, np.float32)
    values[index] = -7e4
    assert Worst(index, -7e4) == measured_both_ways(ArrayBlob(values)).worst
