"""Layers with weights: what they absorb, against their definitions, written out here."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from layer_texts import affine_from, layer, row_of

from caffe_fuse.blobs.blob import ArrayBlob
from caffe_fuse.errors import InputError
from caffe_fuse.layers.layer_type import Absorbed, Affine, Refusal

KERNEL = (2, 3)


def convolve(bottom, weights, groups):
    """top[o] = the sum over the kernel and the inputs c of o's group of w[o, c, y, x] * bottom."""
    outputs, inputs = weights.shape[:2]
    top = np.zeros((outputs, bottom.shape[1] - KERNEL[0] + 1, bottom.shape[2] - KERNEL[1] + 1))
    for o, c, y, x in itertools.product(range(outputs), range(inputs), *map(range, KERNEL)):
        source = bottom[o // (outputs // groups) * inputs + c]
        top[o] += weights[o, c, y, x] * source[y : y + top.shape[1], x : x + top.shape[2]]
    return top


def deconvolve(bottom, weights, groups):
    """Each bottom value of channel a is stamped, times w[a, j], onto output j of a's group."""
    inputs, per_group = weights.shape[:2]
    height, width = bottom.shape[1:]
    top = np.zeros((groups * per_group, height + KERNEL[0] - 1, width + KERNEL[1] - 1))
    for a, j, y, x in itertools.product(range(inputs), range(per_group), *map(range, KERNEL)):
        output = a // (inputs // groups) * per_group + j
        top[output, y : y + height, x : x + width] += bottom[a] * weights[a, j, y, x]
    return top


def whole_numbers(rng, *shape):
    """Returns distinct small integers: every product and sum of the tests below is exact in float32."""
    count = int(np.prod(shape))
    return (rng.permutation(count).astype(np.float32) - count // 2).reshape(shape)


def absorber(type_name):
    found = row_of(type_name).absorb
    assert found is not None
    return found


def absorbed(text, blobs, affine):
    parameter = layer(text)
    return absorber(parameter.type).absorb(parameter, [ArrayBlob(blob) for blob in blobs], affine, None)


def distinct_affine(channels):
    return Affine(1, 1.5 + np.arange(channels), 100.0 - 7 * np.arange(channels))


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "nobias"])
@pytest.mark.parametrize("per_group", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_absorb_is_the_affine_behind_the_layer(kind, groups, per_group, bias):
    rng = np.random.RandomState(groups * 10 + per_group)
    inputs, outputs = 6, groups * per_group
    define = convolve if kind == "Convolution" else deconvolve
    shape = (outputs, inputs // groups) if kind == "Convolution" else (inputs, per_group)
    weights, bottom = whole_numbers(rng, *shape, *KERNEL), whole_numbers(rng, inputs, 4, 4)
    blobs = [weights, whole_numbers(rng, outputs)] if bias else [weights]
    affine = distinct_affine(outputs)
    text = (
        f"type: '{kind}' convolution_param {{ num_output: {outputs} group: {groups} "
        f"kernel_h: 2 kernel_w: 3 bias_term: {str(bias).lower()} }}"
    )
    before = define(bottom, weights, groups) + (blobs[1] if bias else np.zeros(outputs))[:, None, None]
    new = [blob.array() for blob in absorbed(text, blobs, affine).blobs]
    expected = before * affine.scale[:, None, None] + affine.shift[:, None, None]
    np.testing.assert_array_equal(expected, define(bottom, new[0], groups) + new[1][:, None, None])


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "nobias"])
@pytest.mark.parametrize("transposed", [True, False], ids=["transposed", "plain"])
@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "matrix"])
def test_absorb_of_an_inner_product_is_the_affine_behind_it(legacy, transposed, bias):
    rng = np.random.RandomState(5)
    outputs, inputs = 3, 4
    matrix, bottom = whole_numbers(rng, outputs, inputs), whole_numbers(rng, 2, inputs)
    stored = matrix.T if transposed else matrix
    weights = stored.reshape(1, 1, *stored.shape) if legacy else stored
    blobs = [weights, whole_numbers(rng, outputs)] if bias else [weights]
    affine = distinct_affine(outputs)
    text = (
        f"type: 'InnerProduct' inner_product_param {{ num_output: {outputs} "
        f"transpose: {str(transposed).lower()} bias_term: {str(bias).lower()} }}"
    )
    new = [blob.array() for blob in absorbed(text, blobs, affine).blobs]
    new_matrix = new[0].reshape(stored.shape).T if transposed else new[0].reshape(stored.shape)
    expected = (bottom @ matrix.T + (blobs[1] if bias else 0)) * affine.scale + affine.shift
    np.testing.assert_array_equal(expected, bottom @ new_matrix.T + new[1])


CONVOLUTION = "type: 'Convolution' convolution_param { num_output: 4 %s }"
TWO_OUTPUTS = "type: 'InnerProduct' inner_product_param { num_output: 2 %s }"
NO_BIAS = TWO_OUTPUTS % "bias_term: false"
MATRIX = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def test_a_scalar_affine_serves_every_channel():
    new = absorbed(NO_BIAS, [MATRIX], affine_from([2.0], [5.0])).blobs
    assert ([[2.0, 4.0], [6.0, 8.0]], [5.0, 5.0]) == tuple(blob.array().tolist() for blob in new)


def test_a_created_bias_sets_bias_term_in_a_copy():
    parameter = layer(NO_BIAS)
    before = parameter.SerializeToString()
    new = absorber("InnerProduct").absorb(parameter, [ArrayBlob(MATRIX)], distinct_affine(2), None)
    assert isinstance(new, Absorbed)
    assert (True, before) == (new.parameter.inner_product_param.bias_term, parameter.SerializeToString())


def test_a_bias_term_that_is_true_by_default_stays_unwritten():
    new = absorbed(TWO_OUTPUTS % "", [MATRIX, np.zeros(2, np.float32)], distinct_affine(2))
    assert not new.parameter.inner_product_param.HasField("bias_term")


def test_a_bias_keeps_its_old_shape():
    new = absorbed(TWO_OUTPUTS % "", [MATRIX, np.zeros((1, 1, 1, 2), np.float32)], distinct_affine(2))
    assert (1, 1, 1, 2) == new.blobs[1].shape


def test_a_bias_is_rounded_once():
    rng = np.random.RandomState(3)
    bias, scale, shift = rng.standard_normal((3, 2))
    stored = bias.astype(np.float32)
    new = absorbed(TWO_OUTPUTS % "", [MATRIX, stored], Affine(1, scale, shift)).blobs[1]
    assert (stored * scale + shift).astype(np.float32).tolist() == new.array().tolist()


ABSORB_REFUSED = {
    "scale": (
        NO_BIAS,
        [MATRIX],
        ([1.0, 1e39], [0.0, 0.0]),
        "the scale of channel 1, 1e+39, is not a finite float32",
    ),
    "shift": (
        NO_BIAS,
        [MATRIX],
        ([1.0, 1.0], [np.nan, 0.0]),
        "the shift of channel 0, nan, is not a finite float32",
    ),
    "bias": (
        TWO_OUTPUTS % "",
        [MATRIX, np.array([0, 3e38], np.float32)],
        ([2.0, 2.0], [0.0, 0.0]),
        "the new bias of channel 1, 6e+38, is not a finite float32",
    ),
    "channels": (NO_BIAS, [MATRIX], ([1.0] * 3, [0.0] * 3), "3 channels after it do not fit its 2"),
    "blobs": (TWO_OUTPUTS % "", [MATRIX], ([1.0], [0.0]), "it has 1 blob, but bias_term requires 2"),
    "bias-size": (
        TWO_OUTPUTS % "",
        [MATRIX, np.zeros(3, np.float32)],
        ([1.0], [0.0]),
        "it has a bias of 3 elements for 2 channels",
    ),
    "weights": (NO_BIAS, [MATRIX[:1]], ([1.0], [0.0]), "weights of shape 1x2 do not fit num_output 2"),
}


@pytest.mark.parametrize("case", ABSORB_REFUSED)
def test_absorb_refuses_and_says_why(case):
    text, blobs, (scale, shift), reason = ABSORB_REFUSED[case]
    assert Refusal(reason) == absorbed(text, blobs, affine_from(scale, shift))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (CONVOLUTION % "", (3, 2, 1, 1)),
        ("type: 'Deconvolution' convolution_param { num_output: 4 group: 2 }", (6, 4, 1, 1)),
        ("type: 'Deconvolution' convolution_param { num_output: 4 group: 2 }", (5, 2, 1, 1)),
        (TWO_OUTPUTS % "transpose: true", (2, 3)),
        (TWO_OUTPUTS % "", (2, 2, 3)),
        (TWO_OUTPUTS % "", (2, 0)),
    ],
)
def test_weights_of_a_shape_that_does_not_fit_have_no_layout(text, shape):
    parameter = layer(text)
    with pytest.raises(InputError, match="do not fit num_output"):
        absorber(parameter.type).layout(parameter, shape)


def channel_axis(text, bottom):
    parameter = layer(text)
    facet = row_of(parameter.type).channel_axis
    assert facet is not None
    return facet(parameter, bottom)


def test_the_channel_axis_is_the_one_of_the_parameter():
    """A negative axis counts on the bottom, whose rank an InnerProduct does not keep."""
    texts = (CONVOLUTION % "axis: -3", TWO_OUTPUTS % "axis: 2", TWO_OUTPUTS % "axis: -2", CONVOLUTION % "")
    assert [1, 2, 2, 1] == [channel_axis(text, (2, 4, 3, 5)) for text in texts]
    assert [None, 2, None, 1] == [channel_axis(text, None) for text in texts]


def owners(kind, shape, groups, transposed):
    """Returns the output channel of each element of the weights, in order."""
    found = []
    for index in np.ndindex(*shape):
        if kind == "Convolution":
            found.append(index[0])
        elif kind == "Deconvolution":
            found.append(index[0] // (shape[0] // groups) * shape[1] + index[1])
        else:
            found.append(index[-1] if transposed else index[-2])
    return np.array(found)


WEIGHTS = {
    "conv": ("Convolution", (6, 2, 2, 3), 2, False, 6),
    "deconv": ("Deconvolution", (6, 2, 2, 3), 1, False, 2),
    "deconv-groups": ("Deconvolution", (6, 2, 2, 3), 3, False, 6),
    "deconv-depthwise": ("Deconvolution", (6, 1, 2, 3), 6, False, 6),
    "ip": ("InnerProduct", (3, 7), 1, False, 3),
    "ip-legacy": ("InnerProduct", (1, 1, 3, 7), 1, False, 3),
    "ip-transposed": ("InnerProduct", (7, 3), 1, True, 3),
}


def columns_of(case, count):
    kind, shape, groups, transposed, outputs = WEIGHTS[case]
    settings = f"group: {groups}" if kind != "InnerProduct" else f"transpose: {str(transposed).lower()}"
    name = "inner_product_param" if kind == "InnerProduct" else "convolution_param"
    parameter = layer(f"type: '{kind}' {name} {{ num_output: {outputs} {settings} }}")
    found = absorber(kind).sampled_weights(parameter, shape, count, np.random.default_rng(7))
    return owners(kind, shape, groups, transposed), found


@pytest.mark.parametrize("case", WEIGHTS)
def test_all_columns_are_all_that_a_channel_owns(case):
    owner, found = columns_of(case, 10_000)
    assert [np.flatnonzero(owner == channel).tolist() for channel in range(len(found))] == found.tolist()


@pytest.mark.parametrize("case", WEIGHTS)
def test_some_columns_are_different_and_ascend_and_belong_to_their_channel(case):
    owner, found = columns_of(case, 4)
    assert (np.int64, 4) == (found.dtype, found.shape[1])
    assert (np.diff(found, axis=1) > 0).all()
    np.testing.assert_array_equal(np.broadcast_to(np.arange(len(found))[:, None], found.shape), owner[found])
