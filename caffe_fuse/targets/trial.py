"""Random bottoms, on which a layer is run to see what it computes."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, List, Sequence, Tuple

from ..errors import InputError
from ..half.sampling import Chance
from ..net.graph import Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def random_bottoms(sizes: Sequence[Tuple[int, ...]]) -> List[NDArray[np.float64]]:
    return [Chance(place).random(size) for place, size in enumerate(sizes)]


def fits(layer: Layer, sizes: Sequence[Tuple[int, ...]]) -> bool:
    """Whether the layer can be run on bottoms of these sizes with its blobs."""
    kind = layer.layer_type
    if kind is None or kind.forward is None:
        return False
    try:
        kind.shapes(layer.parameter, sizes, [blob.shape for blob in layer.blobs])
        wanted = () if kind.blobs is None else kind.blobs(layer.parameter, sizes)
    except InputError:
        return False
    return all(None in dims or prod(dim or 0 for dim in dims) == blob.count for dims, blob in zip(wanted, layer.blobs))
