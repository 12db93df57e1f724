"""Runs that advance together: how far each runs, and what it keeps."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import nets
import numpy as np
import pytest
from nets import layer, scale, text

import caffe_fuse
from caffe_fuse.judging import lockstep

NET = text(*(scale(name, bottom, name) for name, bottom in (("a", "x"), ("b", "a"), ("c", "b"))), shape=(1, 2))
X = {"x": np.array([[3.0, 0.1]], np.float32)}


def model_of(factor: float = 1.1) -> caffe_fuse.Model:
    """Three scales by 1.1, of which the second one is by `factor`."""
    factors = {"a": 1.1, "b": factor, "c": 1.1}
    blobs = {name: [np.full(2, each, np.float32), np.zeros(2, np.float32)] for name, each in factors.items()}
    return nets.model(NET, nets.caffemodel(NET, blobs))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> List[Tuple[str, str]]:
    """What each run computes, as pairs of precision and blob."""
    seen: List[Tuple[str, str]] = []
    real = lockstep.compute

    def watched(net: Any, inputs: Any, precision: Any, wanted: Any) -> Iterator[Any]:
        for value, array in real(net, inputs, precision, wanted):
            seen.append((precision.name, value.blob))
            yield value, array

    monkeypatch.setattr(lockstep, "compute", watched)
    return seen


def test_float64_runs_no_further_than_to_the_last_blob_that_differs(computed: List[Tuple[str, str]]) -> None:
    found = caffe_fuse.verify(model_of(), model_of(), X, half_policy="off")
    assert ("float32", "c") in computed
    assert [] == [blob for precision, blob in computed if precision == "float64"]
    assert [(0.0, np.inf, 1.0)] * 3 == [(row.max_abs, row.snr, row.cosine) for row in found.rows]
    assert found.equal
    caffe_fuse.verify(model_of(), model_of(), X)
    assert ("float64", "c") in computed


def test_float64_decides_where_bits_differ(computed: List[Tuple[str, str]]) -> None:
    near = float(np.nextafter(np.float32(1.1), np.float32(2)))
    rows: Dict[str, Any] = {
        row.blob: row for row in caffe_fuse.verify(model_of(), model_of(near), X, half_policy="off").rows
    }
    assert ["x", "a", "b", "c"] == [blob for precision, blob in computed if precision == "float64"]
    exact = X["x"].astype(np.float64) * np.float64(np.float32(1.1)) ** 2
    found = X["x"] * np.float32(1.1) * np.float32(near)
    assert np.abs(found - exact).max() == rows["b"].max_abs
    assert 0.0 == rows["a"].max_abs


def test_a_tolerance_is_of_float64_also_for_the_same_bits() -> None:
    found = caffe_fuse.verify(model_of(), model_of(), X, half_policy="off", tolerance=0.0)
    assert not found.equal


def test_a_run_keeps_only_what_will_be_taken() -> None:
    run = lockstep.Run(model_of().net, X, "float32", ["a", "b", "c"])
    run.skip("a")
    run.take("c")
    assert ["b"] == list(run._passed)
    run.skip("b")
    assert [] == list(run._passed)


def test_what_a_relu_ends_counts_through_several() -> None:
    """A value of -9 is cut at once, and its size is known still behind a second ReLU."""
    prototxt = text(layer("r", "ReLU", "x", "r"), layer("s", "ReLU", "r", "s"), shape=(1, 2))
    values = {"x": np.array([[-9.0, 2.0]], np.float32)}
    sizes = dict(lockstep.last_values(nets.model(prototxt, None).net, values, "float32", ["r", "s"]))
    assert [9.0, 9.0] == [sizes[name].before for name in ("r", "s")]
