"""How large a layer's sums can become: the worst case, for devices that add in halves.

The sum of K products stays below the sum of their magnitudes, |w| * max|x|, in whatever order it is added up. So a
layer's own forward function gives the bound, from |weights|, |bias| and the magnitudes of its bottom.
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


LARGEST = 1 << 24  # numbers of the image that is tried: how far a window is dilated stands in the text


class SumBound(NamedTuple):
    """terms: K, the products of one sum. bounds: of the magnitude of every partial sum, float32 (channels,)."""

    layer: str
    terms: int
    bounds: NDArray[np.float32]

    @property
    def overflow(self) -> NDArray[np.intp]:
        """The channels whose sums may become infinite on the way."""
        return np.flatnonzero(self.bounds >= OVERFLOW)


def sum_bounds(net: Net, known: Known) -> Tuple[SumBound, ...]:
    """Of each layer with weights whose bottoms are bounded. Reads all their weights."""
    found: List[SumBound] = []
    for layer in net.layers:
        if layer.layer_type is None or layer.layer_type.absorb is None or not layer.blobs or len(layer.tops) != 1:
            continue
        bottom = net.bottoms(layer)[0]
        if bottom in known and known[bottom].bounded:
            bound = _bound(layer, known[bottom], net.shapes[bottom])
            found += [bound] if bound is not None else []
    return tuple(found)


@np.errstate(all="ignore")  # an infinite bound says what there is to say
def _bound(layer: Layer, found: Range, shape: Shape) -> Optional[SumBound]:
    """None where the shape does not say enough."""
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
    except InputError:  # where sizes are in doubt the bottom may be another than it seems
        return None
    spread = found.magnitudes.astype(np.float32).reshape(1, -1, *(1,) * (len(sizes) - 2))
    magnitudes = np.ascontiguousarray(np.broadcast_to(spread, sizes))
    blobs = [np.abs(blob.array()).astype(np.float32) for blob in layer.blobs]
    (top,) = layer_type.forward(parameter, blobs, [magnitudes])
    axis = layer_type.channel_axis(parameter, sizes)
    layout = layer_type.absorb.layout(parameter, layer.blobs[0].shape)
    others = tuple(place for place in range(top.ndim) if place != axis)
    return SumBound(layer.name, layout.size // layout.channels, np.asarray(top.max(others)))
