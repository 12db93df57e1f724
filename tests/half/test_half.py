from __future__ import annotations

from typing import Dict, List, Optional

import numpy as np
import pytest
from pieces import Pieces
from test_meter import expected_stats

from caffe_fuse.blobs.blob import CHUNK, ArrayBlob, CastBlob
from caffe_fuse.blobs.scaled import Layout, ScaledBlob
from caffe_fuse.half import report as half
from caffe_fuse.half.measures import Measures
from caffe_fuse.half.meter import BlobStats, Worst
from caffe_fuse.half.rounding import rounded
from caffe_fuse.half.targets import POLICIES


def test_metering_passes_the_same_numbers_on() -> None:
    values = np.random.RandomState(3).standard_normal(1000).astype(np.float32)
    chunks = [chunk.copy() for chunk in Measures().watched(Pieces(values, 300))]
    assert [300, 300, 300, 100] == [len(chunk) for chunk in chunks]
    assert values.tobytes() == np.concatenate(chunks).tobytes()


def test_after_metering_measuring_reads_nothing() -> None:
    values = np.resize(np.array([1, 7e4, 1e-9], np.float32), 5000)
    blob = Pieces(values, 2000)
    measures = Measures()
    for _ in measures.watched(blob):
        pass
    assert repr(expected_stats(values)) == repr(measures.of(blob))
    assert 1 == blob.reads


def test_metering_that_stops_half_way_leaves_no_stats() -> None:
    values = np.resize(np.array([1, 7e4, 1e-9], np.float32), 5000)
    blob = Pieces(values, 2000)
    measures = Measures()
    next(measures.watched(blob))
    assert repr(expected_stats(values)) == repr(measures.of(blob))


def test_a_blob_is_read_once_to_be_measured_twice() -> None:
    blob = Pieces(np.ones(5, np.float32), 2)
    measures = Measures()
    assert measures.of(blob) is measures.of(blob)
    assert 1 == blob.reads


def test_metering_a_scaled_blob_measures_its_base_in_the_same_reading() -> None:
    base = Pieces(np.repeat(np.array([3, 4e4, 5, 6e-8], np.float32), 2000), 3000)
    scaled = ScaledBlob(base, Layout(1, 1, 2, 4000), np.array([2.0, 0.25]))
    product = np.repeat(np.array([6, 8e4, 1.25, 1.5e-8], np.float32), 2000)
    measures = Measures()
    assert repr(expected_stats(product)) == repr(measures.of(scaled))
    assert repr(expected_stats(base.values)) == repr(measures.of(base))
    assert 1 == base.reads


@pytest.mark.parametrize(
    ("base", "factors", "bound"),
    [([1, -3, 2, 0.5], [2, -5], 15.0), ([1, -3, 2, np.inf], [1, 1], np.inf), ([np.nan, 3, 2, 1], [1, 1], np.inf)],
)
def test_no_number_of_a_recipe_exceeds_its_bound(base: List[float], factors: List[float], bound: float) -> None:
    stored = ArrayBlob(np.array(base, np.float32))
    scaled = ScaledBlob(stored, Layout(1, 1, 2, 2), np.array(factors))
    assert bound == Measures().bound(scaled)


def test_elements_that_are_wanted_are_kept_as_they_go_by() -> None:
    """Also of the base of a recipe in another type; for other elements the blob is read again."""
    stored = Pieces(np.arange(9000, dtype=np.float32), 2000)
    blob = CastBlob(stored, np.dtype(np.float16), (3, 3000))
    scaled = ScaledBlob(blob, Layout(1, 1, 3, 3000), np.array([2.0, 3.0, 4.0]))
    measures, places = Measures(), np.array([5, 1999, 2000, 8999])
    measures.want(blob, places)
    for _ in measures.watched(scaled):
        pass
    assert 1 == stored.reads
    assert [5.0, 1999.0, 2000.0, 9000.0] == measures.take(blob, places).tolist()  # 8999 is not an fp16 value
    assert [10.0, 3998.0, 4000.0, 36000.0] == measures.take(scaled, places).tolist()
    assert 1 == stored.reads


def test_a_reading_that_stops_half_way_keeps_nothing() -> None:
    blob, places = Pieces(np.arange(9000, dtype=np.float32), 2000), np.array([5, 8999])
    measures = Measures()
    measures.want(blob, places)
    next(measures.watched(blob))
    with pytest.raises(NotImplementedError):  # it asks the blob, which cannot
        measures.take(blob, places)


def test_a_report_has_a_row_for_each_blob_in_the_order_given() -> None:
    weights, bias = ArrayBlob(np.array([[1, 2], [3, 7e4]], np.float32)), ArrayBlob(np.ones(2, np.float32))
    report = half.analyse([("conv2", 0, weights, Layout(1, 1, 2, 2)), ("conv1", 1, bias, None)], Measures())
    assert [("conv2", 0), ("conv1", 1)] == [(row.layer, row.blob) for row in report.rows]
    assert [Measures().of(each) for each in (weights, bias)] == [row.stats for row in report.rows]


@pytest.mark.parametrize(
    ("layout", "channel"),
    [
        pytest.param(Layout(1, 1, 6, 2), 3, id="rows of two"),
        pytest.param(Layout(1, 3, 2, 2), 1, id="two outputs of three inputs"),
        pytest.param(Layout(3, 2, 2, 1), 3, id="three groups"),
        pytest.param(None, None, id="unknown"),
    ],
)
def test_a_row_names_the_channel_of_the_worst_element(layout: Optional[Layout], channel: Optional[int]) -> None:
    values = np.ones(12, np.float32)
    values[7] = 1e6
    assert channel == half.analyse([("conv", 0, ArrayBlob(values), layout)], Measures()).rows[0].channel


def test_a_row_of_an_exact_blob_has_no_channel() -> None:
    blob = ArrayBlob(np.ones(4, np.float32))
    assert half.analyse([("conv", 0, blob, Layout(1, 1, 4, 1))], Measures()).rows[0].channel is None


def test_a_report_is_unsafe_if_one_blob_is() -> None:
    good, bad = ArrayBlob(np.ones(2, np.float32)), ArrayBlob(np.array([1, np.inf], np.float32))
    assert half.analyse([("a", 0, good, None)], Measures()).safe
    assert not half.analyse([("a", 0, good, None), ("b", 0, bad, None)], Measures()).safe


def test_the_worst_rows_are_nan_then_overflow_then_relative_error() -> None:
    values = {"exact": 1, "tiny": 1e-9, "huge": 9e4, "huger": 1e5, "rounded": 1.1, "broken": np.nan}
    blobs = {name: ArrayBlob(np.array([value], np.float32)) for name, value in values.items()}
    report = half.analyse([(name, 0, blob, None) for name, blob in blobs.items()], Measures())
    assert ["broken", "huger", "huge", "tiny", "rounded"] == [row.layer for row in report.worst(5)]


def test_the_policy_off_reads_nothing_and_finds_nothing() -> None:
    blob = Pieces(np.array([np.nan], np.float32), 1)
    report = half.analyse([("conv", 0, blob, None)], Measures(POLICIES["off"]))
    assert ((), True, 0) == (report.rows, report.safe, blob.reads)


def under(name: str, values: np.ndarray) -> BlobStats:
    return Measures(POLICIES[name]).of(ArrayBlob(values))


@pytest.mark.parametrize(
    ("policy", "value", "expected"),
    [
        pytest.param("ieee", 65520.0, {"overflow": 1}, id="ieee overflows"),
        pytest.param("truncate", 65519.0, {"clipped": 1}, id="truncation clips what rounds to the largest half"),
        pytest.param("truncate", 65520.0, {"overflow": 1}, id="no half is near it under truncation either"),
        pytest.param("truncate", 2.0**-24 * 1.99, {"subnormal": 1}, id="truncation keeps the step below"),
        pytest.param("truncate", 2.0**-24 * 0.99, {"underflow": 1}, id="truncation loses what nearest keeps"),
        pytest.param("saturate", 65519.0, {"clipped": 1}, id="clipping by rounding alone"),
        pytest.param("saturate", 65520.0, {"overflow": 1}, id="what saturates is as wrong as infinity"),
        pytest.param("flush", 2.0**-15, {"underflow": 1}, id="a flushed subnormal is lost"),
        pytest.param("flush", 2.0**-14, {}, id="the smallest normal half is not flushed"),
        pytest.param("ncnn", 2.0**-15, {"underflow": 1}, id="a target by its name"),
    ],
)
def test_each_policy_at_its_edge(policy: str, value: float, expected: Dict[str, int]) -> None:
    stats = under(policy, np.array([1.0, -value], np.float32))
    classes = ("overflow", "clipped", "subnormal", "underflow", "nan", "inf")
    assert expected == {name: getattr(stats, name) for name in classes if getattr(stats, name)}
    assert ("overflow" not in expected) == stats.safe


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"off"}))
def test_a_policy_sees_a_long_blob_as_its_numbers_one_by_one(policy: str) -> None:
    values = (np.random.RandomState(8).standard_normal(CHUNK + 999) * 1e-4).astype(np.float32)
    values[[5, CHUNK + 7]] = 60000, -3e5
    stats = under(policy, values)
    halves = rounded(values.astype(np.float64), POLICIES[policy])
    errors = np.abs(halves - values.astype(np.float64)) / np.abs(values)
    overflow = np.abs(values) >= 65520
    errors[overflow] = 0
    assert 1 == stats.overflow == int(overflow.sum())
    assert int(((halves == 0) & (values != 0)).sum()) == stats.underflow
    assert int(((np.abs(halves) < 2.0**-14) & (halves != 0)).sum()) == stats.subnormal
    assert float(errors.max()) == stats.max_relative_error
    assert Worst(CHUNK + 7, float(values[CHUNK + 7])) == stats.worst


def test_a_verdict_is_that_of_the_policy() -> None:
    blob = ArrayBlob(np.array([7e4, 1e-5], np.float32))
    reports = {
        name: half.analyse([("c", 0, blob, None)], Measures(POLICIES[name])) for name in ("ieee", "saturate", "flush")
    }
    assert {"ieee": False, "saturate": False, "flush": False} == {name: found.safe for name, found in reports.items()}
    assert [0, 0, 1] == [found.rows[0].stats.underflow for found in reports.values()]
