"""The powers of two by which the bottoms and tops of a layer are multiplied, and which one applies to a weight."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..net.graph import Layer


class LayerPowers(NamedTuple):
    """Exponents, int64: of the tops for each output channel, and of the bottoms for each input channel.

    An InnerProduct has an input channel for each element that it sums.
    """

    outputs: np.ndarray
    inputs: np.ndarray

    def of_inputs(self, layer: Layer, places: np.ndarray) -> np.ndarray:
        """The power of two that multiplies the input of the weight at each flat index, float64.

        By Caffe's definition of the weights, without layouts: the proof depends on that.
        """
        assert layer.layer_type is not None
        assert layer.layer_type.absorb is not None
        channels = layer.layer_type.absorb.inputs(layer.parameter, layer.blobs[0].shape, places)
        exponents: np.ndarray = np.ldexp(1.0, self.inputs[channels])
        return exponents
