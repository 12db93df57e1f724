"""Bounds of the sums of layers with weights: the worst case, for devices that accumulate in fp16.

No partial sum of K products exceeds the sum of their magnitudes, |w| * max|x|, in any order. So a layer's own forward
function, applied to |weights|, |bias| and the magnitudes of its bottom, computes the bound.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, List, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import InputError
from ..execution.forward import require_fitting
from ..half.rounding import OVERFLOW
from ..layers.ranges import Range
from ..net.graph import Layer, Net
from .predict import Known

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..layers.layer_type import Shape


LARGEST = 1 << 24  # elements of the image that is tried: its size depends on the dilation in the prototxt


class SumBound(NamedTuple):
    """terms: K, the count of products in a sum. bounds: of the magnitudes of partial sums, float32 (channels,)."""

    layer: str
    terms: int
    bounds: NDArray[np.float32]

    @property
    def overflow(self) -> NDArray[np.intp]:
        """The channels with a partial sum that may become infinite."""
        return np.flatnonzero(self.bounds >= OVERFLOW)


def sum_bounds(net: Net, known: Known) -> Tuple[SumBound, ...]:
    """The bounds of each layer with weights whose bottom is bounded. Reads all their weights."""
    bounds: List[SumBound] = []
    for layer in net.layers:
        if layer.layer_type is None or layer.layer_type.absorb is None or not layer.blobs or len(layer.tops) != 1:
            continue
        bottom = net.bottoms(layer)[0]
        if bottom in known and known[bottom].bounded:
            bound = _bound(layer, known[bottom], net.shapes[bottom])
            bounds += [bound] if bound is not None else []
    return tuple(bounds)


@np.errstate(all="ignore")  # an infinite bound is a valid result
def _bound(layer: Layer, bottom: Range, shape: Shape) -> Optional[SumBound]:
    """The bound of a layer; None where too little of the shape is known."""
    layer_type, parameter = layer.layer_type, layer.parameter
    assert layer_type is not None
    assert layer_type.absorb is not None
    assert layer_type.forward is not None
    assert layer_type.channel_axis is not None
    dims = None if shape is None or len(shape) < 2 else layer_type.absorb.least(parameter, shape)
    if dims is None or None in dims:
        return None
    sizes = tuple(dim or 0 for dim in dims)
    if prod(sizes) > LARGEST:
        return None
    try:
        require_fitting(layer, layer_type, [sizes])
    except InputError:  # where sizes are in doubt the bottom may have another shape
        return None
    spread = bottom.magnitudes.astype(np.float32).reshape(1, -1, *(1,) * (len(sizes) - 2))
    magnitudes = np.ascontiguousarray(np.broadcast_to(spread, sizes))
    blobs = [np.abs(blob.array()).astype(np.float32) for blob in layer.blobs]
    (top,) = layer_type.forward(parameter, blobs, [magnitudes])
    axis = layer_type.channel_axis(parameter, sizes)
    layout = layer_type.absorb.layout(parameter, layer.blobs[0].shape)
    others = tuple(place for place in range(top.ndim) if place != axis)
    return SumBound(layer.name, layout.size // layout.channels, np.asarray(top.max(others)))
