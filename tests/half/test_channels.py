"""Each result of the analysis by channel, computed again one element at a time."""

from __future__ import annotations

import math
from typing import Dict, List

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pieces import Pieces

from caffe_fuse.blobs.blob import CHUNK, ArrayBlob
from caffe_fuse.blobs.scaled import Layout
from caffe_fuse.half.channels import ChannelStats, by_channel, decibels
from caffe_fuse.half.rounding import GENERIC, IEEE, HalfPolicy, rounded
from caffe_fuse.half.targets import TARGETS

EDGES = [0.0, -0.0, 1.0, 1 / 3, 65504.0, 65510.0, 65520.0, 65530.0, 65536.0, -1e9, 2.0**-14, 2.0**-14 - 2.0**-26]
EDGES += [2.0**-24, 2.0**-25, 1e-5, -3e-6, 1e-12, math.nan, math.inf, -math.inf]
LAYOUTS = [Layout(1, 1, 4, 5), Layout(2, 3, 2, 2), Layout(1, 4, 3, 1)]
ALL_POLICIES = [*GENERIC.values(), *(target.policy for target in TARGETS.values())]


def counted(values: List[float], policy: HalfPolicy) -> Dict[str, float]:
    """Returns the stats of one channel, from the definitions."""
    found: Dict[str, float] = dict.fromkeys(("overflow", "clipped", "subnormal", "underflow", "zeros", "nan", "inf"), 0)
    found.update(count=len(values), max_abs=0.0, max_relative_error=0.0, signal=0.0, noise=0.0)
    limit = 65520
    for value in values:
        if math.isnan(value) or math.isinf(value):
            found["nan" if math.isnan(value) else "inf"] += 1
            continue
        size, half = abs(value), abs(float(rounded(np.array(value), policy)))
        error = abs(half - size)
        found["overflow"] += size >= limit
        found["clipped"] += 65504 < size < limit
        found["subnormal"] += 0 < half < 2.0**-14
        found["underflow"] += half == 0 and size > 0
        found["zeros"] += size == 0
        found["max_abs"] = max(found["max_abs"], size)
        if 0 < size < limit:
            found["max_relative_error"] = max(found["max_relative_error"], error / size)
        found["signal"] += size**2
        found["noise"] += error**2
    return found


def of_channel(stats: ChannelStats, channel: int) -> Dict[str, float]:
    return {name: float(numbers[channel]) for name, numbers in vars(stats).items()}


@pytest.mark.parametrize("policy", ALL_POLICIES, ids=lambda policy: policy.name)
@given(
    values=st.lists(st.sampled_from(EDGES) | st.floats(-1e5, 1e5, width=32), min_size=24, max_size=24),
    layout=st.sampled_from(LAYOUTS),
)
def test_every_number_is_that_of_the_definition(policy: HalfPolicy, values: List[float], layout: Layout) -> None:
    numbers = np.array(values[: layout.size])
    channels = layout.channel(np.arange(layout.size))
    stats = by_channel(ArrayBlob(numbers), layout, policy)
    for channel in range(layout.channels):
        expected = counted(numbers[channels == channel].tolist(), policy)
        assert pytest.approx(expected, rel=1e-12) == of_channel(stats, channel)


@given(
    layout=st.sampled_from([*LAYOUTS, Layout(1, 3, 1, 7), Layout(3, 2, 1, 4)]),
    size=st.integers(1, 30),
    chosen=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_where_a_chunk_ends_makes_no_difference(layout: Layout, size: int, chosen: List[bool]) -> None:
    numbers = np.random.RandomState(size).standard_normal(layout.size) * 10.0 ** np.linspace(-9, 6, layout.size)
    wanted = np.array(chosen[: layout.channels])
    stats = by_channel(Pieces(numbers, size), layout, chosen=wanted)
    channels = layout.channel(np.arange(layout.size))
    for channel in range(layout.channels):
        own = numbers[channels == channel] if wanted[channel] else np.zeros(0)
        assert pytest.approx(counted(own.tolist(), IEEE), rel=1e-12) == of_channel(stats, channel)


def test_a_channel_that_is_not_chosen_has_no_numbers() -> None:
    blob = ArrayBlob(np.array([[1.0, 2.0], [1e-9, 3.0], [4.0, 5.0]]))
    stats = by_channel(blob, Layout(1, 1, 3, 2), chosen=np.array([False, True, False]))
    assert [0, 2, 0] == stats.count.tolist()
    assert [0, 1, 0] == stats.underflow.tolist()
    assert [0, 3, 0] == stats.max_abs.tolist()


def test_chunks_are_added_up() -> None:
    numbers = np.full(CHUNK + 10, 1e-9)
    numbers[[0, -1]] = 3.0, 70000.0
    stats = by_channel(ArrayBlob(numbers), Layout(1, 1, 1, numbers.size))
    assert [CHUNK + 10, CHUNK + 8, 1, 70000.0] == [
        numbers[0] for numbers in (stats.count, stats.underflow, stats.overflow, stats.max_abs)
    ]


def test_the_margin_is_in_powers_of_two() -> None:
    numbers = np.array([65504.0, 65504 / 2, 32753.0, 1.0, 131008.0, 0.0])
    stats = by_channel(ArrayBlob(numbers), Layout(1, 1, 6, 1))
    assert [0, 1, 0, 15, -1, math.inf] == stats.margin.tolist()


def test_the_ratio_of_signal_to_noise() -> None:
    numbers = np.array([[1.0, 0.5], [1e-9, 0.0], [70000.0, 1.0], [math.nan, 1.0], [1 + 2.0**-12, 0.0], [0.0, 0.0]])
    stats = by_channel(ArrayBlob(numbers), Layout(1, 1, 6, 2))
    exact, lost, infinite, broken, one, nothing = stats.snr.tolist()
    assert [math.inf, 0.0, -math.inf, -math.inf, math.inf] == [exact, lost, infinite, broken, nothing]
    assert [-math.inf] == by_channel(ArrayBlob(np.array([-math.inf, 1.0])), Layout(1, 1, 1, 2)).snr.tolist()
    assert pytest.approx(20 * math.log10((1 + 2.0**-12) / 2.0**-12)) == one
    assert [False, False, False, False, False, True] == stats.empty.tolist()


def test_normal_halves_have_more_than_60_decibels() -> None:
    numbers = np.random.RandomState(0).uniform(2.0**-14, 65504, (8, 500))
    assert by_channel(ArrayBlob(numbers), Layout(1, 1, 8, 500), IEEE).snr.min() > 66


def test_decibels_without_noise_are_infinite() -> None:
    assert [math.inf, 20.0, -math.inf] == decibels(np.array([1.0, 100.0, 0.0]), np.array([0.0, 1.0, 1.0])).tolist()
