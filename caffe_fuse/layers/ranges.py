"""How layers carry ranges: between which numbers each channel of a top lies, from those of the bottoms.

A layer with weights carries none: the sum of the extremes of a thousand numbers says nothing about their sum. Of a type
without this facet nothing is known either.

Here is what the facets `ranges` of the families exchange, and what several of them need.
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
    """Every number of channel c, on axis 1, lies between lows[c] and highs[c], both included.

    float64 of shape (channels,), or (1,) where one pair serves every number. Infinite where nothing is known.
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
        # Infinities and NaN stay in a sum; some versions of numpy say something about NaN that signals.
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
    """A function of one number, at both ends and at the one place between them where it may turn."""
    lows, highs = passage.ranges[0]
    ends = np.stack([lows, highs, np.minimum(np.maximum(turning(passage.parameter), lows), highs)])
    with np.errstate(all="ignore"):
        (images,) = forward(passage.parameter, passage.blobs, [ends])
    return [_spanned(images)]


def _spanned(images: Any) -> Range:
    """From the least to the largest along axis 0. Where the function has no value, of infinity or of all, is no end."""
    lows, highs = np.fmin.reduce(images), np.fmax.reduce(images)
    return Range(np.where(np.isnan(lows), -np.inf, lows), np.where(np.isnan(highs), np.inf, highs))


def zero_of_the_line(settings: Any) -> float:
    """Where shift + scale * x is 0."""
    return -settings.shift / settings.scale if settings.scale else 0.0


def unknown(passage: Passage) -> List[Range]:
    return [UNKNOWN] * len(passage.tops)


def aligned(ranges: Sequence[Range]) -> Sequence[Range]:
    """With one number of channels, or one pair each where they do not agree about it."""
    sizes = {found.channels for found in ranges} - {1}
    return ranges if len(sizes) < 2 else [found.whole() for found in ranges]


def sum_of(ranges: Sequence[Range]) -> Range:
    """inf - inf is no end: a setting may be infinite, and half of all numbers too."""
    with np.errstate(over="ignore", invalid="ignore"):
        lows, highs = (reduce(np.add, ends) for ends in zip(*aligned(ranges)))
    return Range(np.where(np.isnan(lows), -np.inf, lows), np.where(np.isnan(highs), np.inf, highs))


def product_of(one: Range, other: Range) -> Range:
    """0 times a number that is not known is 0."""
    one, other = aligned([one, other])
    with np.errstate(over="ignore", invalid="ignore"):
        corners = [a * b for a in one for b in other]
    lows, highs = reduce(np.fmin, corners), reduce(np.fmax, corners)
    return Range(np.where(np.isnan(lows), 0.0, lows), np.where(np.isnan(highs), 0.0, highs))


def is_channels(axis: int, shape: Shape) -> Optional[bool]:
    """None where only a rank that is not known would tell."""
    found = known_axis(axis, shape)
    return None if found is None else found == 1


def same(passage: Passage) -> List[Range]:
    return [passage.ranges[0]] * len(passage.tops)


def with_zero(found: Range) -> Range:
    return Range(np.minimum(found.lows, 0), np.maximum(found.highs, 0))


def squashed(low: float, passage: Passage) -> List[Range]:
    return [between(low, 1.0)] if len(passage.tops) == 1 else unknown(passage)
