"""Powers of two that pass through layers: f(s * x) = s * f(x), with a separate s > 0 for each channel.

Each channel of a blob has a label; channels with the same label are multiplied by the same power of two. A layer with
weights gives its tops new labels, since its weights can compensate any power; other layers pass labels on, or tie some
together. A label that a layer does not pass on is pinned; a layer type without this facet pins all.

This module defines what the facets `homogeneous` of the families exchange, and what several of them need.
"""

from __future__ import annotations

from math import prod
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..blobs.scaled import Layout
from .layer_type import BlobShapes, Shapes

Labels = np.ndarray  # int64


class Channels(NamedTuple):
    """labels[j] is the label of the values at index j of `axis`."""

    axis: int
    labels: Labels


class Scaled(NamedTuple):
    """A blob's values are multiplied by the powers of these channels, or divided by them."""

    layout: Layout
    labels: Labels
    divided: bool = False


class Moved(NamedTuple):
    """How powers pass through a layer. tops: None if all labels are pinned. blobs: for each of the layer's blobs."""

    tops: Sequence[Optional[Channels]]
    blobs: Sequence[Sequence[Scaled]] = ()


class Ties:
    """Labels, with those tied to have the same power, and those pinned to 2^0, with the reason. Label 0 is pinned."""

    def __init__(self) -> None:
        self._parents: List[int] = [0]
        self._reasons: Dict[int, str] = {0: "it comes from a layer that no power passes through"}

    def fresh(self, count: int) -> Labels:
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def tie(self, one: Labels, other: Labels) -> None:
        for a, b in dict.fromkeys(zip(one.tolist(), other.tolist())):
            a, b = self._root(a), self._root(b)
            self._parents[max(a, b)] = min(a, b)

    def pin(self, channels: Optional[Channels], reason: str) -> None:
        """Pins the labels of these channels; the first reason counts."""
        for label in () if channels is None else np.unique(channels.labels).tolist():
            self._reasons.setdefault(label, reason)

    def solved(self) -> Tuple[np.ndarray, Mapping[int, str]]:
        """The label that represents each label, and the reasons of those representatives that are pinned."""
        roots = np.array([self._root(label) for label in range(len(self._parents))])
        reasons: Dict[int, str] = {}
        for label in sorted(self._reasons):
            reasons.setdefault(int(roots[label]), self._reasons[label])
        return roots, reasons

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label


class Setting(NamedTuple):
    """One layer: its parameter, the shapes around it, and the channels of its bottoms (None: all pinned)."""

    parameter: Any
    bottoms: Shapes
    tops: Shapes
    blobs: BlobShapes
    channels: Sequence[Optional[Channels]]
    ties: Ties


Homogeneous = Callable[[Setting], Optional[Moved]]


def unchanged(setting: Setting) -> Moved:
    return Moved([setting.channels[0]] * len(setting.parameter.top))


def flattened(setting: Setting, first: int, last: int) -> Optional[Channels]:
    """The labels if the bottom's axes first .. last become one."""
    channels, shape = setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    if not first <= channels.axis <= last:
        return channels._replace(axis=channels.axis - (last - first) * (channels.axis > last))
    before, after = shape[first : channels.axis], shape[channels.axis + 1 : last + 1]
    known = [dim for dim in (*before, *after) if dim is not None]
    if len(known) < last - first:
        return None
    return Channels(first, np.tile(np.repeat(channels.labels, prod(known[len(before) :])), prod(known[: len(before)])))


def inputs_of(setting: Setting, channels: Optional[Channels], axis: int, count: int) -> Labels:
    """The labels of the `count` inputs of the weights along an axis; if they do not match, all are pinned."""
    if channels is not None and channels.axis == axis and channels.labels.size == count:
        return channels.labels
    setting.ties.pin(setting.channels[0], "a layer sums it up with other channels")
    return np.zeros(count, np.int64)


def with_weights(setting: Setting, axis: int, rows: Layout, columns: Layout, inputs: Labels) -> Moved:
    out = setting.ties.fresh(rows.channels)
    weights = [Scaled(rows, out), Scaled(columns, inputs, divided=True)]
    bias = [Scaled(Layout(1, 1, rows.channels, 1), out)]
    return Moved([Channels(axis, out)], [weights, bias][: len(setting.blobs)])
