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
_CHUNK = 1 << 14  # elements that are compared at a time, in a processor's cache


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
        self.require_equal(found, truth)
        return Matched(found.astype(np.float64), truth.astype(np.float64), 0)

    def require_equal(self, found: Array, truth: Array) -> None:
        """Raises InputError if the shapes differ."""
        if found.shape != truth.shape:
            raise InputError(f"blob {self.blob} is {text(found.shape)} in one net, {text(truth.shape)} in the other")

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


class Energy(NamedTuple):
    """Sums of squares over two arrays. product: the sum of their products. noise: of their difference."""

    found: float
    truth: float
    product: float
    noise: float

    @classmethod
    @np.errstate(all="ignore")
    def of(cls, found: Array, truth: Array, away: Optional[Array] = None) -> Energy:
        """away: found - truth, if that is known."""
        away = found - truth if away is None else away
        return cls(*(float(np.vdot(*pair)) for pair in ((found, found), (truth, truth), (found, truth), (away, away))))

    def plus(self, other: Energy) -> Energy:
        return Energy(*(mine + its for mine, its in zip(self, other)))

    @property
    def cosine(self) -> float:
        """1 where one of the arrays is 0."""
        lengths = float(np.sqrt(self.found) * np.sqrt(self.truth))
        return self.product / lengths if lengths else 1.0

    @property
    def snr(self) -> float:
        """10 log10 of the energy of `truth` over that of the difference; -inf if an element is not finite."""
        if not np.isfinite(self.found):
            return -np.inf
        with np.errstate(all="ignore"):
            return float(10 * np.log10(np.float64(self.truth) / self.noise)) if self.noise else np.inf


class Distance(NamedTuple):
    """How far an array is from the truth. noise: how far the net's own float32 is. magnitude: the truth's largest."""

    max_abs: float
    noise: float
    magnitude: float
    energy: Energy


def distance(found: Array, noisy: Array, truth: Array) -> Distance:
    """The distance of arrays of one shape. Where the net itself overflows in float32, the other one may, too."""
    total = Distance(0.0, 0.0, 0.0, Energy(0.0, 0.0, 0.0, 0.0))
    flat = [array.reshape(-1) for array in (found, noisy, truth)]
    for first in range(0, truth.size, _CHUNK):
        here, own, there = (array[first : first + _CHUNK].astype(np.float64, copy=False) for array in flat)
        part = _finite_distance(here, own, there) or _any_distance(here, own, there)
        total = Distance(
            max(total.max_abs, part.max_abs),
            max(total.noise, part.noise),
            max(total.magnitude, part.magnitude),
            total.energy.plus(part.energy),
        )
    return total


@np.errstate(all="ignore")
def _finite_distance(found: Array, own: Array, truth: Array) -> Optional[Distance]:
    """The distance of a few elements; None if one of them is not finite."""
    away, noise = found - truth, own - truth
    energy = Energy.of(found, truth, away)
    most, most_noise = _extent(away), _extent(noise)
    if not (np.isfinite(energy.found) and np.isfinite(energy.truth) and np.isfinite(most_noise)):
        return None
    return Distance(most, most_noise, _extent(truth), energy)


def _extent(values: Array) -> float:
    """The largest magnitude; NaN if an element is."""
    return max(float(np.max(values, initial=0.0)), -float(np.min(values, initial=0.0)))


def _any_distance(found: Array, own: Array, truth: Array) -> Distance:
    held = np.isfinite(own) == np.isfinite(truth)
    aims = np.where(held, truth, found), np.where(held, truth, own)
    return Distance(apart(found, aims[0]), apart(own, aims[1]), largest(truth), Energy.of(found, truth))


@np.errstate(all="ignore")  # overflows and NaN are judged separately
def apart(found: Array, truth: Array) -> float:
    """The largest difference; inf if only one of two elements is finite, 0 if both are NaN or the same infinity."""
    away = found - truth
    np.abs(away, out=away)
    most = float(np.max(away, initial=0.0))
    if not np.isnan(most):
        return most
    unknown = np.isnan(away)
    same = (found == truth) | (np.isnan(found) & np.isnan(truth))
    away[unknown] = np.where(same[unknown], 0.0, np.inf)
    return float(np.max(away))


def largest(values: Array) -> float:
    """The largest magnitude of the finite elements; 0 if there is none."""
    most = _extent(values)
    if np.isfinite(most):
        return most
    return float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))


def snr(found: Array, truth: Array) -> float:
    return Energy.of(found, truth).snr
