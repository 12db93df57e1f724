"""Affines that are carried backward through a layer: which affines of its bottoms make the given ones of its tops.

    layer(s_1 * x_1 + t_1, s_2 * x_2 + t_2, ...) = s * layer(x_1, x_2, ...) + t       in exact arithmetic

Here is what the facets `carries` of the families exchange, and what several of them need.
"""

from __future__ import annotations

import math
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Union

import numpy as np

from .layer_type import Affine, Dim, Refusal, Shape, Shapes

UNKNOWN_SIZES = Refusal("its sizes are not known: see --input-shape")


class Carried(NamedTuple):
    """One layer: its parameter, an affine for each top, and the shapes around it."""

    parameter: Any
    affines: Sequence[Affine]
    bottoms: Shapes
    tops: Shapes


Carries = Callable[[Carried], Union[List[Affine], Refusal]]


def same(carried: Carried) -> Union[List[Affine], Refusal]:
    """The one affine of all tops is that of every bottom."""
    first = carried.affines[0]
    if any(not first.equals(other) for other in carried.affines[1:]):
        return Refusal("its tops have different scales and shifts")
    return [first] * len(carried.bottoms)


def sliced(affine: Affine, counts: Sequence[Dim]) -> Union[List[Affine], Refusal]:
    """The affines of parts of an axis with so many channels each."""
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return UNKNOWN_SIZES
    if sum(known) != affine.channels:
        return Refusal(f"its channels are {sum(known)}, of those after it {affine.channels}")
    ends = np.cumsum(known)[:-1]
    pairs = zip(np.split(affine.scale, ends), np.split(affine.shift, ends))
    return [Affine(affine.axis, scale, shift) for scale, shift in pairs]


def joined(affines: Sequence[Affine], counts: Sequence[Dim], axis: int) -> Union[Affine, Refusal]:
    """The affine of values that lie one after the other along `axis`."""
    if None in counts:
        return UNKNOWN_SIZES
    parts = [np.broadcast_arrays(each.scale, each.shift, np.empty(count or 0)) for each, count in zip(affines, counts)]
    scale, shift = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
    return Affine(axis, scale, shift)


def kept_axis(axis: int, bottom: Shape, top: Shape) -> Optional[int]:
    """The axis of the bottom that is `axis` of the top, where the layer only gives its bottom another shape."""
    if bottom is None or top is None or top[axis] is None:
        return None
    for place, dim in enumerate(bottom):
        if dim == top[axis] and _elements(bottom[:place]) == _elements(top[:axis]):
            return place
    return None


def _elements(dims: Sequence[Dim]) -> Any:
    """How many; sizes that are not known are equal only at the same place."""
    if None in dims:
        return tuple(dims)
    return math.prod(dim or 0 for dim in dims)
