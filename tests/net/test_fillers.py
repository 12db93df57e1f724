"""Layers that the weight file leaves out, and blobs for layers that take none."""

from __future__ import annotations

import nets
import numpy as np
import pytest

from caffe_fuse.errors import InputError
from caffe_fuse.net.model import Model

# The result of Caffe 1.0 (kendryte-caffe) for kernel_size 2, 3 and 5: a row of the filter, times that of the position.
BILINEAR = {2: [0.5, 0.5], 3: [0.5, 1, 0.5], 4: [0.25, 0.75, 0.75, 0.25], 5: [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]}


def deconvolution(filler: str, kernel: int = 4, bias: str = "bias_term: false") -> bytes:
    settings = f"num_output: 4 group: 4 kernel_size: {kernel} stride: 2 {filler} {bias}"
    return nets.text(
        nets.layer("d", "Deconvolution", "x", "d", f"convolution_param {{ {settings} }}"), nets.convolution()
    )


def without_d(prototxt: bytes) -> Model:
    others = nets.text(nets.convolution())
    return nets.model(prototxt, nets.caffemodel(others, nets.numbers(others)))


@pytest.mark.parametrize("kernel", BILINEAR)
def test_a_bilinear_filler_gives_the_numbers_that_it_gives_in_caffe(kernel: int) -> None:
    model = without_d(deconvolution("weight_filler { type: 'bilinear' }", kernel))
    (blob,) = model.net.layers[0].blobs
    expected = np.outer(BILINEAR[kernel], BILINEAR[kernel]) * np.ones((4, 1, 1, 1))
    np.testing.assert_allclose(blob.array(), expected, rtol=1e-6)
    (note,) = model.warnings
    assert "3:1: the weight file has no weights for Deconvolution d; they come from its filler" in note


def test_a_constant_that_is_named_is_meant() -> None:
    prototxt = deconvolution("weight_filler { value: 0.25 }", bias="bias_filler { value: 3 }")
    weights, bias = without_d(prototxt).net.layers[0].blobs
    assert {0.25} == set(weights.array().ravel().tolist())
    assert [3, 3, 3, 3] == bias.array().tolist()


@pytest.mark.parametrize("filler", ["", "weight_filler { type: 'gaussian' std: 0.01 }", "bias_filler { value: 0 }"])
def test_numbers_of_chance_and_fillers_that_nobody_named_are_missing(filler: str) -> None:
    with pytest.raises(InputError, match="has no weights for layer d"):
        without_d(deconvolution(filler, bias=""))


def test_a_filled_layer_folds_into_a_record_of_its_own() -> None:
    lines = deconvolution("weight_filler { type: 'bilinear' }").decode().splitlines()[:3]
    prototxt = nets.text(lines[2], nets.batch_norm("b", "d", "b"))
    numbers = nets.numbers(prototxt)
    others = nets.text(nets.batch_norm("b", "x", "b"))
    answer = nets.fuse(prototxt, weights=nets.caffemodel(others, {"b": numbers["b"]}))
    filter = np.outer(BILINEAR[4], BILINEAR[4]).astype(np.float32)
    full = nets.fuse(prototxt, {**numbers, "d": [np.broadcast_to(filter, (4, 1, 4, 4))]})
    assert ["d"] == [rewrite.layer for rewrite in answer.result.report.folded]
    for found, expected in zip(answer.arrays["d"], full.arrays["d"]):
        np.testing.assert_array_equal(found, expected)


def test_blobs_of_a_layer_that_has_none_are_an_error() -> None:
    """Caffe: net.cpp:752, Incompatible number of blobs."""
    prototxt = nets.text(nets.layer("r", "ReLU", "x", "r"))
    with pytest.raises(InputError, match=r"layer r \(ReLU\) has 0 blobs in the net and 1 in the weights"):
        nets.model(prototxt, nets.caffemodel(prototxt, {"r": [np.ones(4, np.float32)]}))


@pytest.mark.parametrize(("value", "told"), [(0, True), (0.5, False)])
def test_statistics_that_are_all_0_are_told(value: float, told: bool) -> None:
    prototxt = nets.text(nets.convolution(), nets.batch_norm())
    numbers = nets.numbers(prototxt)
    blank = [np.full(shape, value, np.float32) for shape in (6, 6, 1)]
    warnings = nets.model(prototxt, nets.caffemodel(prototxt, {**numbers, "b": blank})).warnings
    assert told == any("are 0, and so are their factors" in warning for warning in warnings)
