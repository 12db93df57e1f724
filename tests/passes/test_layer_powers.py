"""The power of two that multiplies the input of each weight, measured by the sums of the net."""

from __future__ import annotations

from typing import Dict

import nets
import numpy as np
import pytest
from nets import layer, text
from reference import trace

from caffe_fuse.passes.layer_powers import LayerPowers

SHAPE = (1, 4, 3, 3)
LAYERS: Dict[str, str] = {
    "convolution": layer("l", "Convolution", "x", "y", "convolution_param { num_output: 6 kernel_size: 3 }"),
    "groups": layer("l", "Convolution", "x", "y", "convolution_param { num_output: 6 kernel_size: 3 group: 2 }"),
    "depthwise": layer("l", "Convolution", "x", "y", "convolution_param { num_output: 4 kernel_size: 3 group: 4 }"),
    "depthwise type": layer(
        "l", "ConvolutionDepthwise", "x", "y", "convolution_param { num_output: 4 kernel_size: 3 }"
    ),
    "deconvolution": layer(
        "l", "Deconvolution", "x", "y", "convolution_param { num_output: 2 kernel_size: 2 stride: 2 }"
    ),
    "deconvolution in groups": layer(
        "l", "Deconvolution", "x", "y", "convolution_param { num_output: 6 kernel_size: 2 stride: 2 group: 2 }"
    ),
    "product": layer("l", "InnerProduct", "x", "y", "inner_product_param { num_output: 5 }"),
    "transposed": layer("l", "InnerProduct", "x", "y", "inner_product_param { num_output: 5 transpose: true }"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_weight_reads_the_input_that_the_net_multiplies_it_with(name: str) -> None:
    """Weight by weight: with it alone, the sum of the outputs is that of the images in its input channel."""
    prototxt = text(LAYERS[name], shape=SHAPE)
    net = nets.model(prototxt, None).net
    (each,) = net.layers
    count = each.blobs[0].count
    flat = name in ("product", "transposed")
    inputs = np.random.RandomState(1).permutation(36 if flat else 4) - 9
    picture = np.ldexp(1.0, inputs).reshape(SHAPE if flat else (1, 4, 1, 1)) * np.ones(SHAPE)
    ones = {"l": [np.zeros(blob.shape, np.float32) for blob in each.blobs]}
    expected = []
    for place in range(count):
        ones["l"][0].reshape(-1)[place] = 1
        (version,) = trace(prototxt, nets.caffemodel(prototxt, ones), {"x": picture}, "TEST", np.float64).versions["y"]
        assert version.value is not None
        expected.append(np.abs(version.value).max())
        ones["l"][0].reshape(-1)[place] = 0
    powers = LayerPowers(np.zeros(1, np.int64), inputs)
    assert expected == powers.of_inputs(each, np.arange(count)).tolist()
