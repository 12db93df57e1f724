"""The powers of two by which the blobs around one layer are multiplied, and which of them goes with a weight."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from ..net.graph import Layer


class LayerPowers(NamedTuple):
    """Exponents, int64: of the layer's tops, for each output channel, and of its bottoms, for each input channel.

    An InnerProduct has an input channel for each number that it sums up.
    """

    outputs: np.ndarray
    inputs: np.ndarray

    def of_inputs(self, layer: Layer, places: np.ndarray) -> np.ndarray:
        """What the input of the weight at each flat place is multiplied with; from Caffe's definition of the weights.

        Nothing here uses a layout: the proof calls it.
        """
        exponents: np.ndarray = np.ldexp(1.0, self.inputs[_input_channel(layer, places)])
        return exponents


def _input_channel(layer: Layer, places: np.ndarray) -> np.ndarray:
    """Caffe: base_conv_layer.cpp:267 and 284, inner_product_layer.cpp:33."""
    shape = layer.blobs[0].shape
    if layer.kind == "InnerProduct":
        outputs = layer.parameter.inner_product_param.num_output
        transposed = layer.parameter.inner_product_param.transpose
        inputs: np.ndarray = places // outputs if transposed else places % (prod(shape) // outputs)
        return inputs
    first, second, _ = np.unravel_index(places, (shape[0], shape[1], prod(shape[2:])))
    if layer.kind == "Deconvolution":
        return np.asarray(first)
    groups = shape[0] if layer.kind == "ConvolutionDepthwise" else layer.parameter.convolution_param.group
    return np.asarray(first // (shape[0] // groups) * shape[1] + second)
