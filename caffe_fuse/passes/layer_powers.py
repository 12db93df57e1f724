"""The powers of two by which the blobs around one layer are multiplied, and which of them goes with a weight."""

from __future__ import annotations

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
        assert layer.layer_type is not None
        assert layer.layer_type.absorb is not None
        channels = layer.layer_type.absorb.inputs(layer.parameter, layer.blobs[0].shape, places)
        exponents: np.ndarray = np.ldexp(1.0, self.inputs[channels])
        return exponents
