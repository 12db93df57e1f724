"""The classes of values in half precision: every way of counting them agrees with their definition."""

from __future__ import annotations

from typing import Dict

import numpy as np
import pytest

from caffe_fuse.blobs.blob import ArrayBlob
from caffe_fuse.blobs.scaled import Layout
from caffe_fuse.half.channels import by_channel
from caffe_fuse.half.classes import CLASSES, classify
from caffe_fuse.half.measures import Measures
from caffe_fuse.half.meter import Meter, stats_of
from caffe_fuse.half.rounding import IEEE, rounded
from caffe_fuse.half.targets import POLICIES
from caffe_fuse.ranges.calibrate import Recorded


def every_half_and_between() -> np.ndarray:
    """Returns all fp16 values as float32, their neighbours, the midpoints between two, NaN and infinities."""
    with np.errstate(all="ignore"):
        halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
        finite = np.sort(halves[np.isfinite(halves)])
        ends = np.array([65520, 65536, 1e30], np.float32)
        middles = np.concatenate([(finite[1:] + finite[:-1]) / 2, ends, -ends])
        exact = np.concatenate([halves, middles])
        return np.concatenate([exact, *(np.nextafter(exact, np.float32(end)) for end in (np.inf, -np.inf))])


VALUES = every_half_and_between()


def defined(x: np.float32) -> str:
    """Returns the class of one value from Python's own arithmetic, "" for a normal one."""
    value = float(x)
    if value != value:
        return "nan"
    size = abs(value)
    if size == float("inf"):
        return "inf"
    if size >= 65504:
        return "" if size == 65504 else "clipped" if size < 65520 else "overflow"
    if size >= 2.0**-14:
        return ""
    if size == 0:
        return "zeros"
    steps = round(size * 2**24)  # Python rounds ties to even
    return "underflow" if steps == 0 else "subnormal" if steps < 1 << 10 else ""


def counts(stats: object) -> Dict[str, int]:
    return {name: int(np.sum(getattr(stats, name))) for name in CLASSES}


@pytest.fixture(scope="module")
def expected() -> Dict[str, int]:
    names = [defined(value) for value in VALUES]
    return {name: names.count(name) for name in CLASSES}


def test_classify_agrees_with_the_definition() -> None:
    with np.errstate(all="ignore"):
        magnitudes = np.abs(VALUES.astype(np.float64))
    found = np.full(VALUES.size, "", object)
    for name, chosen in classify(magnitudes, rounded(magnitudes, IEEE)).items():
        found[chosen] += name  # two classes of one value would show
    assert [defined(value) for value in VALUES] == found.tolist()


def test_the_fast_way_of_the_meter_counts_the_same(expected: Dict[str, int]) -> None:
    meter = Meter(np.empty(1 << 14, np.float32))
    for start in range(0, VALUES.size, 1 << 14):
        meter.add(VALUES[start : start + (1 << 14)])
    assert expected == counts(meter.stats())


def test_small_blobs_together_count_the_same(expected: Dict[str, int]) -> None:
    assert expected == counts(stats_of([VALUES])[0])


def test_channels_count_the_same(expected: Dict[str, int]) -> None:
    size = VALUES.size // 3 * 3
    found = by_channel(ArrayBlob(VALUES[:size]), Layout(1, 1, 3, size // 3))
    rest = counts(stats_of([VALUES[size:]])[0]) if size < VALUES.size else dict.fromkeys(CLASSES, 0)
    assert expected == {name: counts(found)[name] + rest[name] for name in CLASSES}


def test_a_calibration_counts_the_same(expected: Dict[str, int]) -> None:
    recorded = Recorded()
    recorded.add(VALUES.reshape(1, 1, -1))
    assert expected == recorded.kinds


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"off"}))
def test_what_is_too_large_is_so_on_every_device(policy: str, expected: Dict[str, int]) -> None:
    found = counts(Measures(POLICIES[policy]).of(ArrayBlob(VALUES)))
    large = ("overflow", "clipped", "nan", "inf", "zeros")
    assert {name: expected[name] for name in large} == {name: found[name] for name in large}
