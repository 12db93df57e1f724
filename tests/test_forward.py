"""The forward pass: against what Caffe recorded, in what order it runs, what it keeps, and what it cannot run."""

from __future__ import annotations

import numpy as np
import pytest
import truth

import caffe_fuse
from caffe_fuse.forward import PRECISIONS, run_net

FLOAT32, FLOAT64 = PRECISIONS["float32"], PRECISIONS["float64"]
# The largest difference to Caffe, relative to the largest number of the blob. The largest that is found is 6.6e-7
# (Caffe itself is up to 5.0e-7 from the float64 run, and so are we), so no part of it is left for noise.
TOLERANCE = 2e-6


def loaded(name: str) -> caffe_fuse.Model:
    net = truth.load(name)
    return caffe_fuse.load(net.prototxt_path, net.weights_path)


def relative_error(expected: np.ndarray, actual: np.ndarray) -> float:
    return truth.largest_error(expected, actual) / (float(np.max(np.abs(expected), initial=0)) or 1.0)


@pytest.mark.parametrize("name", [name for name in truth.names() if name != "format-v1"])
def test_every_blob_is_what_caffe_gave(name: str) -> None:
    net = truth.load(name)
    outcome = run_net(loaded(name).net, net.inputs, FLOAT32, list(net.outputs))
    assert {} == outcome.unavailable
    assert {*net.outputs} == {*outcome.values}
    errors = {blob: relative_error(expected, outcome.values[blob]) for blob, expected in net.outputs.items()}
    assert {} == {blob: error for blob, error in errors.items() if not error <= TOLERANCE}
    assert {np.dtype(np.float32)} == {value.dtype for value in outcome.values.values()}
