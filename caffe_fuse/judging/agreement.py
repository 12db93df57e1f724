"""How close two arrays of one blob are: which elements are compared, and by which measures.

Detections are compared object by object, all other blobs element by element. Whether rows are scores of classes follows
from the layer that writes the blob: a row of values may as well be a face descriptor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import InputError
from ..layers.layer_type import CLASSES, DETECTIONS, SCORES
from ..layers.shapes import text
from ..net.graph import Layer, Net, Value
from .detections import Matched, matched

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Ranking = Tuple[Tuple[int, float], ...]  # the classes with the largest scores, and these scores
RANKED = 5


class Kind(NamedTuple):
    """What the last value of a blob holds. layer: the one that writes it."""

    blob: str
    layer: Layer
    is_detections: bool
    is_classes: bool

    def aligned(self, found: Array, truth: Array) -> Matched:
        """The two arrays with corresponding elements. Raises InputError if the shapes differ, except for detections."""
        if self.is_detections:
            return matched(found, truth)
        if found.shape != truth.shape:
            raise InputError(f"blob {self.blob} is {text(found.shape)} in one net, {text(truth.shape)} in the other")
        return Matched(found.astype(np.float64), truth.astype(np.float64), 0)

    def rows(self, values: Array) -> Optional[Array]:
        """Rows (N, C) of several classes, of a blob (N, C) or (N, C, 1, 1); None if it has none."""
        if not self.is_classes or values.ndim < 2 or not 1 < values.shape[1] == values.size / len(values):
            return None
        return values.reshape(len(values), -1)

    def same_top_class(self, found: Array, truth: Array) -> Optional[bool]:
        """Whether the largest value of each row is at the same index; None if there are no classes."""
        here, there = self.rows(found), self.rows(truth)
        if here is None or there is None or here.shape != there.shape:
            return None
        return bool(np.array_equal(here.argmax(axis=1), there.argmax(axis=1)))


def kinds(net: Net) -> Dict[str, Kind]:
    """The kind of each blob that a layer writes, by name."""
    last = {value.blob: (value, layer) for layer in net.layers for value in net.tops(layer)}
    return {
        name: Kind(name, layer, _answer(layer) == DETECTIONS, _is_classes(net, value))
        for name, (value, layer) in last.items()
    }


def _is_classes(net: Net, value: Value) -> bool:
    """Whether the rows are classes: those of a Softmax, and of an InnerProduct without consumers."""
    producer = net.producer(value)
    is_output = not net.consumers(value)
    while producer is not None and producer.layer_type is not None and producer.layer_type.keeps and producer.bottoms:
        producer = net.producer(net.bottoms(producer)[0])
    answer = None if producer is None else _answer(producer)
    return answer == CLASSES or (is_output and answer == SCORES)


def _answer(layer: Layer) -> Optional[str]:
    return None if layer.layer_type is None else layer.layer_type.answer


def ranking(row: Array) -> Ranking:
    best = np.argsort(-row, kind="stable")[:RANKED]
    return tuple((int(place), float(row[place])) for place in best)


@np.errstate(all="ignore")  # overflows and NaN are judged separately
def apart(found: Array, truth: Array) -> float:
    """The largest difference; inf if only one of two elements is finite, 0 if both are NaN or the same infinity."""
    away = np.abs(found - truth)
    unknown = np.isnan(away)
    if unknown.any():
        same = (found == truth) | (np.isnan(found) & np.isnan(truth))
        away[unknown] = np.where(same[unknown], 0.0, np.inf)
    return float(np.max(away, initial=0.0))


def largest(values: Array) -> float:
    """The largest magnitude of the finite elements; 0 if there is none."""
    return float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))


@np.errstate(all="ignore")
def cosine(found: Array, truth: Array) -> float:
    lengths = float(np.linalg.norm(found) * np.linalg.norm(truth))
    return float(np.vdot(found, truth)) / lengths if lengths else 1.0


@np.errstate(all="ignore")
def snr(found: Array, truth: Array) -> float:
    """10 log10 of the energy of `truth` over that of the difference; -inf if an element is not finite."""
    if not np.isfinite(found).all():
        return -np.inf
    noise = float(np.sum(np.square(found - truth)))
    return float(10 * np.log10(np.sum(np.square(truth)) / noise)) if noise else np.inf
