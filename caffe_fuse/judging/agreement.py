"""How near two arrays of one blob are: what is compared with what, and in which measures.

Detections are compared thing by thing, all else place by place. Only what makes a blob tells whether its rows are
classes, for a row of numbers may as well be a face.
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

Ranking = Tuple[Tuple[int, float], ...]  # the classes with the largest numbers, and these
RANKED = 5


class Kind(NamedTuple):
    """What the last value of a blob is. layer: that makes it."""

    blob: str
    layer: Layer
    is_detections: bool
    is_classes: bool

    def beside(self, found: Array, truth: Array) -> Matched:
        """The numbers that belong together. InputError where the shapes differ, but for detections."""
        if self.is_detections:
            return matched(found, truth)
        if found.shape != truth.shape:
            raise InputError(f"blob {self.blob} is {text(found.shape)} in one net and {text(truth.shape)} in the other")
        return Matched(found.astype(np.float64), truth.astype(np.float64), 0)

    def rows(self, numbers: Array) -> Optional[Array]:
        """Rows (N, C) of several classes, of a blob (N, C) or (N, C, 1, 1); None where it has none."""
        if not self.is_classes or numbers.ndim < 2 or not 1 < numbers.shape[1] == numbers.size / len(numbers):
            return None
        return numbers.reshape(len(numbers), -1)

    def same_top_class(self, found: Array, truth: Array) -> Optional[bool]:
        """Whether the largest number of each row is at the same place; None where there are no classes."""
        here, there = self.rows(found), self.rows(truth)
        if here is None or there is None or here.shape != there.shape:
            return None
        return bool(np.array_equal(here.argmax(axis=1), there.argmax(axis=1)))


def kinds(net: Net) -> Dict[str, Kind]:
    """Of each blob that a layer makes."""
    last = {value.blob: (value, layer) for layer in net.layers for value in net.tops(layer)}
    return {
        name: Kind(name, layer, _answer(layer) == DETECTIONS, _is_classes(net, value))
        for name, (value, layer) in last.items()
    }


def _is_classes(net: Net, value: Value) -> bool:
    """A Softmax gives classes, and an InnerProduct that nothing reads."""
    maker = net.producer(value)
    is_output = not net.consumers(value)
    while maker is not None and maker.layer_type is not None and maker.layer_type.keeps and maker.bottoms:
        maker = net.producer(net.bottoms(maker)[0])
    found = None if maker is None else _answer(maker)
    return found == CLASSES or (is_output and found == SCORES)


def _answer(layer: Layer) -> Optional[str]:
    return None if layer.layer_type is None else layer.layer_type.answer


def ranking(row: Array) -> Ranking:
    best = np.argsort(-row, kind="stable")[:RANKED]
    return tuple((int(place), float(row[place])) for place in best)


@np.errstate(all="ignore")  # what overflowed or is NaN has its own verdict
def apart(found: Array, truth: Array) -> float:
    """The largest difference; inf where only one of two numbers is finite, 0 where both are NaN or one infinity."""
    away = np.abs(found - truth)
    unknown = np.isnan(away)
    if unknown.any():
        same = (found == truth) | (np.isnan(found) & np.isnan(truth))
        away[unknown] = np.where(same[unknown], 0.0, np.inf)
    return float(np.max(away, initial=0.0))


def largest(numbers: Array) -> float:
    """The largest magnitude of the finite numbers."""
    return float(np.max(np.abs(numbers), initial=0.0, where=np.isfinite(numbers)))


@np.errstate(all="ignore")
def cosine(found: Array, truth: Array) -> float:
    lengths = float(np.linalg.norm(found) * np.linalg.norm(truth))
    return float(np.vdot(found, truth)) / lengths if lengths else 1.0


@np.errstate(all="ignore")
def snr(found: Array, truth: Array) -> float:
    """10 log10 of the energy of `truth` over that of the difference; -inf where a number is not finite."""
    if not np.isfinite(found).all():
        return -np.inf
    noise = float(np.sum(np.square(found - truth)))
    return float(10 * np.log10(np.sum(np.square(truth)) / noise)) if noise else np.inf
