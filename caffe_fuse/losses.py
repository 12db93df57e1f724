"""Which channels half precision loses: a number overflows, or too little of the channel is left.

Most blobs are cleared by what is known already, or by a few of each channel's weights; the others are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from . import half
from .blob import Blob, Layout, ScaledBlob
from .channels import POOR, by_channel
from .net import Layer
from .proof import Chance

if TYPE_CHECKING:
    from .powers import Groups

SAMPLES = 8  # of a channel
# A channel has no effect on the sums that it goes into if its share of their amplitude is below this.
NO_EFFECT = 2.0**-20
RATIO = 10 ** (POOR / 10)


class Loss(NamedTuple):
    """Channels of one blob of a layer. overflow: those of them in which a number overflows or is not finite."""

    layer: Layer
    blob: int
    channels: np.ndarray
    overflow: np.ndarray


def losses(layers: Sequence[Layer], groups: Optional[Groups] = None) -> List[Loss]:
    """The losses of all blobs, in the order of the net; with `groups`, without channels that have no effect.

    Raises InputError for numbers that cannot be read.
    """
    found = [_loss(layer, number) for layer in layers for number in range(len(layer.blobs))]
    if groups is not None and any(loss.channels.size > loss.overflow.size for loss in found):
        found = _without_dead(layers, groups, found)
    return [loss for loss in found if loss.channels.size]


def _loss(layer: Layer, number: int) -> Loss:
    blob, layout = layer.blobs[number], _layout(layer, number)
    overflow = poor = np.zeros(0, np.int64)
    if not _stays_finite(blob):
        channels = layout or Layout(1, 1, 1, blob.count)
        stats = by_channel(blob, channels)
        overflow = np.flatnonzero(stats.overflow + stats.nan + stats.inf)
    if layout is not None:
        poor = _poor_bias(layer, number) if number else _poor_weights(layer, layout)
    return Loss(layer, number, np.union1d(overflow, poor), overflow)


def _layout(layer: Layer, number: int) -> Optional[Layout]:
    """Where a blob has its channels; None for one that has none, or none that is known here."""
    row = layer.row
    if row is not None and row.absorb is not None and number == 0:
        return row.absorb.layout(layer.parameter, layer.blobs[0].shape)
    if row is not None and (row.absorb is not None or row.name == "Scale"):
        return Layout(1, 1, layer.blobs[number].count, 1)
    return None


def _stays_finite(blob: Blob) -> bool:
    """By a bound if that is enough: it costs nothing where the blob below a recipe has been measured."""
    if isinstance(blob, ScaledBlob):
        base = half.measure(blob.base)
        gain = float(np.prod([np.abs(each.factors).max() for each in blob.scalings]))
        if base.nan == base.inf == 0 and base.max_abs * gain < half.LARGEST:
            return True
    return half.measure(blob).safe


def _poor_weights(layer: Layer, layout: Layout) -> np.ndarray:
    """Channels whose weights lose too much. A subnormal half is off by at most 2^-25, so large ones make up for it."""
    blob = layer.blobs[0]
    smallest = layout.size / layout.channels * 2.0**-50 * RATIO * 1.01
    doubtful = _sampled_energy(layer, layout) < smallest
    if not doubtful.any():
        return np.zeros(0, np.int64)
    poor: np.ndarray = np.flatnonzero(doubtful & (by_channel(blob, layout, chosen=doubtful).snr < POOR))
    return poor


def _poor_bias(layer: Layer, number: int) -> np.ndarray:
    """Channels whose bias is off by too much, beside their weights."""
    bias = layer.blobs[number].array().astype(np.float64).reshape(-1)
    with np.errstate(all="ignore"):
        error = np.abs(bias.astype(np.float16) - bias)
        doubtful = np.isfinite(error) & (RATIO * error**2 > bias**2)
    layout = _layout(layer, 0)
    if not doubtful.any() or layout is None:
        return np.zeros(0, np.int64)
    energy = by_channel(layer.blobs[0], layout, chosen=doubtful).signal
    poor: np.ndarray = np.flatnonzero(doubtful & (RATIO * error**2 > bias**2 + energy))
    return poor


def _sampled_energy(layer: Layer, layout: Layout) -> np.ndarray:
    """The sum of the squares of some weights of each channel: not more than that of all."""
    blob = layer.blobs[0]
    if layer.row is None or layer.row.absorb is None:
        return np.square(blob.array().astype(np.float64).reshape(-1))
    places = layer.row.absorb.columns(layer.parameter, blob.shape, SAMPLES, Chance(layer.index))
    order = np.argsort(places, axis=None, kind="stable")
    found = np.empty(places.size)
    found[order] = blob.take(places.reshape(-1)[order])
    energy: np.ndarray = np.square(found.reshape(places.shape)).sum(axis=1)
    return energy


def _without_dead(layers: Sequence[Layer], groups: Groups, found: Sequence[Loss]) -> List[Loss]:
    """Leaves out channels that have no effect on any layer that reads them."""
    effects = _Effects(layers, groups)
    kept: List[Loss] = []
    for loss in found:
        poor = np.setdiff1d(loss.channels, loss.overflow)
        alive = poor[~effects.are_nil(loss.layer, poor)] if poor.size else poor
        kept.append(loss._replace(channels=np.union1d(loss.overflow, alive)))
    return kept


class _Effects:
    """What the channels of a layer contribute to the sums behind it, if what goes into the layer is of size 1."""

    def __init__(self, layers: Sequence[Layer], groups: Groups) -> None:
        self._groups = groups
        self._layers = [layer for layer in layers if len(groups.blobs.get(layer.index, ())) and _layout(layer, 0)]
        self._amplitudes: Dict[int, np.ndarray] = {}
        self._contributions: Dict[int, Tuple[np.ndarray, np.ndarray, float]] = {}

    def are_nil(self, layer: Layer, channels: np.ndarray) -> np.ndarray:
        nil = np.zeros(channels.size, bool)
        scalings = self._groups.blobs.get(layer.index, ())
        if not scalings:
            return nil
        own = self._groups.of[scalings[0][0].labels[channels]]
        amplitude = self._amplitude(layer)[channels]
        readers = [other for other in self._layers if np.isin(self._inputs(other), own[own > 0]).any()]
        for place in np.flatnonzero(own):
            shares = [self._share(other, int(own[place]), float(amplitude[place])) for other in readers]
            read = [share for share in shares if share is not None]
            nil[place] = bool(read) and max(read) < NO_EFFECT**2
        return nil

    def _inputs(self, layer: Layer) -> np.ndarray:
        groups: np.ndarray = self._groups.of[self._groups.blobs[layer.index][0][-1].labels]
        return groups

    def _amplitude(self, layer: Layer) -> np.ndarray:
        if layer.index not in self._amplitudes:
            layout = _layout(layer, 0)
            assert layout is not None
            amplitude = np.sqrt(by_channel(layer.blobs[0], layout).signal)
            if len(layer.blobs) > 1:
                amplitude = amplitude + np.abs(layer.blobs[1].array().astype(np.float64).reshape(-1))
            self._amplitudes[layer.index] = amplitude
        return self._amplitudes[layer.index]

    def _share(self, reader: Layer, group: int, amplitude: float) -> Optional[float]:
        """The share of a channel in the energy of all that the reader sums up; None if it does not read it."""
        if reader.index not in self._contributions:
            self._contributions[reader.index] = self._contribution(reader)
        inputs, gains, total = self._contributions[reader.index]
        own = inputs == group
        if not own.any():
            return None
        return float(gains[own].sum()) * amplitude**2 / total if total > 0 else 0.0

    def _contribution(self, reader: Layer) -> Tuple[np.ndarray, np.ndarray, float]:
        inputs = self._inputs(reader)
        gains = by_channel(reader.blobs[0], self._groups.blobs[reader.index][0][-1].layout).signal
        amplitudes = np.zeros(self._groups.size)
        for layer in self._layers:
            own = self._groups.of[self._groups.blobs[layer.index][0][0].labels]
            if np.isin(own[own > 0], inputs).any():
                np.maximum.at(amplitudes, own, self._amplitude(layer))
        amplitudes[0] = 0  # what is not known here counts as nothing, and makes the others' shares larger
        return inputs, gains, float((gains * amplitudes[inputs] ** 2).sum())
