"""How ranges pass through layers: the bounds of each channel of a top, from those of the bottoms.

No range passes through a layer with weights: the sum of the extremes of a thousand values says nothing about their sum.
Nor does any pass through a layer type without this facet.

This module defines what the facets `ranges` of the families exchange, and what several of them need.
"""

from __future__ import annotations

from functools import reduce
from math import isfinite
from typing import TYPE_CHECKING, Any, Callable, List, NamedTuple, Optional, Sequence

import numpy as np

from .layer_type import Shape, Shapes
from .shapes import known_axis

if TYPE_CHECKING:
    from .layer_type import Arrays, Doubles


class Range(NamedTuple):
    """Every value of channel c, on axis 1, is between lows[c] and highs[c], both included.

    float64 of shape (channels,), or (1,) if one pair applies to every value. Infinite if nothing is known.
    """

    lows: Doubles
    highs: Doubles

    @property
    def channels(self) -> int:
        return int(self.lows.size)

    @property
    def magnitudes(self) -> Doubles:
        return np.maximum(np.abs(self.lows), np.abs(self.highs))

    @property
    def bounded(self) -> bool:
        # Infinities and NaN stay in a sum; some versions of numpy warn about a signalling NaN.
        with np.errstate(all="ignore"):
            return isfinite(self.lows.sum()) and isfinite(self.highs.sum())

    def whole(self) -> Range:
        """One pair for all channels."""
        return Range(self.lows.min(keepdims=True), self.highs.max(keepdims=True))


def between(low: float, high: float) -> Range:
    return Range(np.array([low]), np.array([high]))


UNKNOWN = between(-np.inf, np.inf)


class Passage(NamedTuple):
    """One layer: its parameter and blobs, the ranges of its bottoms, and the shapes around it."""

    parameter: Any
    blobs: Arrays
    ranges: Sequence[Range]
    bottoms: Shapes
    tops: Shapes


Ranges = Callable[[Passage], List[Range]]
Forward = Callable[[Any, "Arrays", "Arrays"], List[Any]]


def elementwise(forward: Forward, turning: Callable[[Any], float], passage: Passage) -> List[Range]:
    """The range of a function of one value: from both ends, and the one point between them where it may turn."""
    lows, highs = passage.ranges[0]
    ends = np.stack([lows, highs, np.minimum(np.maximum(turning(passage.parameter), lows), highs)])
    with np.errstate(all="ignore"):
        (images,) = forward(passage.parameter, passage.blobs, [ends])
    return [_spanned(images)]


def _spanned(images: Any) -> Range:
    """The range from the least to the largest along axis 0; infinite where the function has no value at an end."""
    lows, highs = np.fmin.reduce(images), np.fmax.reduce(images)
    return Range(np.where(np.isnan(lows), -np.inf, lows), np.where(np.isnan(highs), np.inf, highs))


def zero_of_the_line(settings: Any) -> float:
    """The x at which shift + scale * x is 0."""
    return -settings.shift / settings.scale if settings.scale else 0.0


def unknown(passage: Passage) -> List[Range]:
    return [UNKNOWN] * len(passage.tops)


def aligned(ranges: Sequence[Range]) -> Sequence[Range]:
    """The ranges, if they agree about the number of channels; otherwise one pair for each."""
    counts = {x.channels for x in ranges} - {1}
    return ranges if len(counts) < 2 else [x.whole() for x in ranges]


def sum_of(ranges: Sequence[Range]) -> Range:
    """The range of a sum. inf - inf is replaced by an infinite bound: settings and values may be infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        lows, highs = (reduce(np.add, ends) for ends in zip(*aligned(ranges)))
    return Range(np.where(np.isnan(lows), -np.inf, lows), np.where(np.isnan(highs), np.inf, highs))


def product_of(one: Range, other: Range) -> Range:
    """The range of a product; 0 times an unknown value is 0."""
    one, other = aligned([one, other])
    with np.errstate(over="ignore", invalid="ignore"):
        corners = [a * b for a in one for b in other]
    lows, highs = reduce(np.fmin, corners), reduce(np.fmax, corners)
    return Range(np.where(np.isnan(lows), 0.0, lows), np.where(np.isnan(highs), 0.0, highs))


def is_channels(axis: int, shape: Shape) -> Optional[bool]:
    """Whether the axis is that of the channels; None if that depends on an unknown rank."""
    known = known_axis(axis, shape)
    return None if known is None else known == 1


def same(passage: Passage) -> List[Range]:
    return [passage.ranges[0]] * len(passage.tops)


def with_zero(x: Range) -> Range:
    return Range(np.minimum(x.lows, 0), np.maximum(x.highs, 0))


def squashed(low: float, passage: Passage) -> List[Range]:
    return [between(low, 1.0)] if len(passage.tops) == 1 else unknown(passage)
