"""Powers of two pass through layers: divided by them, all values are the same to the last bit."""

from __future__ import annotations

import re
from typing import Dict, List

import nets
import numpy as np
import pytest
import rescaled
from hypothesis import given
from hypothesis import strategies as st
from nets import layer, text
from strategies_nets import INPUT
from strategies_nets import nets as random_nets

from caffe_fuse.layers.homogeneous import Ties
from caffe_fuse.net.scale_groups import grouped

SHAPE = (2, 4, 7, 5)
CONVOLUTION = "convolution_param { num_output: 6 kernel_size: 3 pad: 1 }"
FIRST = layer("c", "Convolution", "x", "c", CONVOLUTION)
SECOND = layer("d", "Convolution", "x", "d", CONVOLUTION)
LAST = layer("e", "Convolution", "y", "e", "convolution_param { num_output: 3 kernel_size: 2 }")
PRODUCT = layer("e", "InnerProduct", "y", "e", "inner_product_param { num_output: 3 }")

# Behind c (and d) a layer makes y, which a layer with weights reads.
NETS: Dict[str, List[str]] = {
    "relu": [FIRST, layer("l", "ReLU", "c", "y"), LAST],
    "in place": [FIRST, layer("l", "ReLU", "c", "c"), LAST.replace('"y"', '"c"')],
    "leaky relu": [FIRST, layer("l", "ReLU", "c", "y", "relu_param { negative_slope: 0.3 }"), LAST],
    "prelu": [FIRST, layer("l", "PReLU", "c", "y"), LAST],
    "absval": [FIRST, layer("l", "AbsVal", "c", "y"), LAST],
    "power": [FIRST, layer("l", "Power", "c", "y", "power_param { scale: -0.7 }"), LAST],
    "max": [FIRST, layer("l", "Pooling", "c", "y", "pooling_param { kernel_size: 2 stride: 2 }"), LAST],
    "average": [FIRST, layer("l", "Pooling", "c", "y", "pooling_param { pool: AVE kernel_size: 3 pad: 1 }"), LAST],
    "dropout": [FIRST, layer("l", "Dropout", "c", "y"), LAST],
    "scale": [
        FIRST,
        layer("r", "ReLU", "c", "c"),
        layer("l", "Scale", "c", "y", "scale_param { bias_term: true }"),
        LAST,
    ],
    "bias": [FIRST, layer("r", "ReLU", "c", "c"), layer("l", "Bias", "c", "y"), LAST],
    "sum": [FIRST, SECOND, layer("l", "Eltwise", "c d", "y", "eltwise_param { coeff: 2.5 coeff: -1 }"), LAST],
    "maximum": [FIRST, SECOND, layer("l", "Eltwise", "c d", "y", "eltwise_param { operation: MAX }"), LAST],
    "concat": [FIRST, SECOND, layer("l", "Concat", "c d", "y"), LAST],
    "concat of rows": [FIRST, SECOND, layer("l", "Concat", "c d", "y", "concat_param { axis: 2 }"), LAST],
    "concat with the input": [FIRST, layer("l", "Concat", "x c", "y"), LAST],
    "split": [FIRST, layer("l", "Split", "c", "y z"), LAST, LAST.replace('"y"', '"z"').replace('"e"', '"f"')],
    "slice": [
        FIRST,
        layer("l", "Slice", "c", "y z", "slice_param { slice_point: 2 }"),
        LAST,
        LAST.replace('"y"', '"z"').replace('"e"', '"f"'),
    ],
    "product": [FIRST.replace('"c" con', '"y" con'), PRODUCT],
    "flatten": [FIRST, layer("l", "Flatten", "c", "y"), PRODUCT],
    "permute": [
        FIRST,
        layer("p", "Permute", "c", "p", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
        layer("l", "Flatten", "p", "y"),
        PRODUCT,
    ],
    "transposed": [
        FIRST.replace('"c" con', '"y" con'),
        PRODUCT.replace("num_output: 3", "num_output: 3 transpose: true"),
    ],
    "groups": [
        FIRST,
        layer("l", "Convolution", "c", "y", "convolution_param { num_output: 8 kernel_size: 2 group: 2 }"),
        LAST,
    ],
    "depthwise": [
        FIRST,
        layer("l", "Convolution", "c", "y", "convolution_param { num_output: 6 kernel_size: 2 group: 6 }"),
        LAST,
    ],
    "depthwise type": [
        FIRST,
        layer("l", "ConvolutionDepthwise", "c", "y", "convolution_param { num_output: 6 kernel_size: 2 }"),
        LAST,
    ],
    "deconvolution": [
        FIRST,
        layer("l", "Deconvolution", "c", "y", "convolution_param { num_output: 4 kernel_size: 2 group: 2 stride: 2 }"),
        LAST,
    ],
    "crop": [FIRST, SECOND, layer("l", "Crop", "c d", "y"), LAST],
    "interp": [FIRST, layer("l", "Interp", "c", "y", "interp_param { zoom_factor: 2 }"), LAST],
    "interp like another": [FIRST, layer("l", "Interp", "c x", "y"), LAST],
    "shuffle": [FIRST, layer("l", "ShuffleChannel", "c", "y", "shuffle_channel_param { group: 3 }"), LAST],
}


@pytest.mark.parametrize("name", NETS)
def test_values_are_the_same_but_for_their_powers(name: str) -> None:
    prototxt = text(*NETS[name], shape=SHAPE)
    before, after, exponents = rescaled.spread(prototxt, nets.numbers(prototxt), seed=3, reach=5)
    assert len(set(exponents[re.findall('bottom: "(.)"', NETS[name][-1])[0]])) > 1
    inputs = {"x": nets.spread(SHAPE, 99)}
    assert [] == rescaled.differences(rescaled.values(before, inputs), rescaled.values(after, inputs), exponents)
    assert before[0] == after[0]


@given(random_nets(), st.integers(0, 1000))
def test_values_of_random_nets_are_the_same_but_for_their_powers(prototxt: bytes, seed: int) -> None:
    before, after, exponents = rescaled.spread(prototxt, nets.numbers(prototxt, seed), seed, reach=5)
    inputs = {"x": nets.spread(INPUT, 99)}
    assert [] == rescaled.differences(rescaled.values(before, inputs), rescaled.values(after, inputs), exponents)


PINNING: Dict[str, List[str]] = {
    "sigmoid": [FIRST, layer("l", "Sigmoid", "c", "y"), LAST],
    "product of two": [FIRST, SECOND, layer("l", "Eltwise", "c d", "y", "eltwise_param { operation: PROD }"), LAST],
    "power with a shift": [FIRST, layer("l", "Power", "c", "y", "power_param { shift: 1 }"), LAST],
    "square": [FIRST, layer("l", "Power", "c", "y", "power_param { power: 2 }"), LAST],
    "clip": [FIRST, layer("l", "Clip", "c", "y", "clip_param { min: 0 max: 6 }"), LAST],
    "relu6": [FIRST, layer("l", "ReLU6", "c", "y"), LAST],
    "unknown": [FIRST, layer("l", "Mystery", "c", "y"), LAST],
    "sum with the input": [
        FIRST.replace("num_output: 6", "num_output: 4"),
        layer("l", "Eltwise", "c x", "y"),
        LAST,
    ],
}


@pytest.mark.parametrize("name", PINNING)
def test_what_is_not_homogeneous_pins_its_bottom(name: str) -> None:
    prototxt = text(*PINNING[name], shape=SHAPE)
    net = nets.model(prototxt, None).net
    groups = grouped(net, (), frozenset(), frozenset())
    pinned = {value.blob: bool((groups.of[channels.labels] == 0).all()) for value, channels in groups.values.items()}
    assert pinned["c"]


def test_labels_that_are_tied_have_one_root_and_the_first_reason() -> None:
    ties = Ties()
    one, other = ties.fresh(3), ties.fresh(3)
    ties.tie(one, other[::-1])
    ties.tie(one[:1], one[1:2])
    roots, _ = ties.solved()
    assert [1, 1, 3, 3, 1, 1] == roots[1:].tolist()
    assert np.array_equal(roots[one], roots[other[::-1]])
