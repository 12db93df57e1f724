"""The kernels of weights, in each form in which a layer stores them, against the layouts of rows and columns."""

from __future__ import annotations

from typing import Tuple

import numpy as np
import pytest

from caffe_fuse.blobs.blob import CHUNK, ArrayBlob
from caffe_fuse.blobs.kernels import Kernels
from caffe_fuse.blobs.scaled import Layout

FORMS = {
    "convolution": (Layout(1, 1, 6, 4 * 9), Layout(1, 6, 4, 9)),
    "groups": (Layout(1, 1, 6, 2 * 9), Layout(2, 3, 2, 9)),
    "depthwise": (Layout(1, 1, 5, 9), Layout(5, 1, 1, 9)),
    "one output": (Layout(1, 1, 1, 4 * 9), Layout(1, 1, 4, 9)),
    "one input": (Layout(1, 1, 6, 9), Layout(1, 6, 1, 9)),
    "deconvolution": (Layout(1, 4, 3, 4), Layout(1, 1, 4, 3 * 4)),
    "deconvolution in groups": (Layout(2, 2, 3, 4), Layout(1, 1, 4, 3 * 4)),
    "depthwise deconvolution": (Layout(5, 1, 1, 4), Layout(1, 1, 5, 4)),
    "product": (Layout(1, 1, 5, 7), Layout(1, 5, 7, 1)),
    "transposed": (Layout(1, 7, 5, 1), Layout(1, 1, 7, 5)),
    "scale": (Layout(1, 1, 5, 1), Layout(1, 1, 5, 1)),
    "more than a chunk": (Layout(1, 1, 50, 70 * 81), Layout(1, 50, 70, 81)),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_number_is_in_the_kernel_of_its_row_and_column(form: str) -> None:
    rows, columns = FORMS[form]
    assert rows.size == columns.size
    assert (rows.size > CHUNK) == (form == "more than a chunk")
    kernels = Kernels.of(rows, columns)
    assert (rows.channels, columns.channels) == (kernels.channels(True), kernels.channels(False))
    numbers = np.arange(rows.size)
    found = np.empty((2, rows.size), np.int64)
    seen = 0
    for first, slab in kernels.slabs(ArrayBlob(numbers.astype(np.float64))):
        assert np.array_equal(numbers[seen : seen + slab.size], slab.reshape(-1))
        shape = (len(slab), kernels.places)
        for side, layout in enumerate((rows, columns)):
            owners = kernels.spread(side == 0, np.arange(layout.channels), first, len(slab))
            each = np.repeat(np.broadcast_to(owners, shape), kernels.size)
            found[side, seen : seen + slab.size] = each
        seen += slab.size
    assert rows.size == seen
    assert np.array_equal(rows.channel(numbers), found[0])
    assert np.array_equal(columns.channel(numbers), found[1])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [True, False])
def test_sums_and_maxima_are_those_of_each_channel(form: str, rows: bool) -> None:
    layouts = FORMS[form]
    layout = layouts[0] if rows else layouts[1]
    kernels = Kernels.of(*layouts)
    numbers = np.random.RandomState(2).randint(1, 1000, layout.size).astype(np.float64)
    expected = np.zeros((2, layout.channels))
    np.add.at(expected[0], layout.channel(np.arange(layout.size)), numbers)
    np.maximum.at(expected[1], layout.channel(np.arange(layout.size)), numbers)
    found = np.zeros((2, layout.channels))
    for first, slab in kernels.slabs(ArrayBlob(numbers)):
        for operation, target in zip((np.add, np.maximum), found):
            kernels.reduce(operation, rows, kernels.combined(operation, slab), first, target)
    assert np.array_equal(expected, found)


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_a_bias_has_rows_alone(shape: Tuple[int, ...]) -> None:
    kernels = Kernels.of(Layout(1, 1, 6, 1))
    (slab,) = kernels.slabs(ArrayBlob(np.arange(6.0).reshape(shape)))
    assert (0, [[0], [1], [2], [3], [4], [5]]) == (slab.first, slab.weights.tolist())
