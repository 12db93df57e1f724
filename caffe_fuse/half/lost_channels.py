"""Which channels half precision loses: an element overflows, or rounding takes too much of the channel.

Most blobs are cleared by their measures, or by a few weights of each channel; only the others are read again.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import parallel
from ..blobs.blob import Blob
from ..blobs.scaled import Layout, ScaledBlob
from ..net.graph import Layer
from .channels import NO_EFFECT, POOR, by_channel, channels_of, layout_of
from .measures import Measures
from .rounding import IEEE, LARGEST, OVERFLOW, HalfPolicy, rounded
from .sampling import sampled_weights, weights_at

Effect = Callable[[Layer, np.ndarray], np.ndarray]

RATIO = 10 ** (POOR / 10)


class Loss(NamedTuple):
    """Lost channels of one blob of a layer. overflow: those in which an element overflows or is not finite."""

    layer: Layer
    blob: int
    channels: np.ndarray
    overflow: np.ndarray


def losses(layers: Sequence[Layer], policy: HalfPolicy = IEEE, measures: Optional[Measures] = None) -> List[Loss]:
    """The losses of all blobs, in the order of the net, with those that do no harm.

    policy: what becomes of small values; large ones overflow as in IEEE 754, even where the device would clip them.
    measures: of the blobs, as far as known.
    Raises InputError for a blob that cannot be read.
    """
    known = measures or Measures()
    by_place: Dict[Tuple[int, int], Loss] = {}

    def look(place: Tuple[Layer, int]) -> None:
        with np.errstate(all="ignore"):  # NaN and infinity are losses
            by_place[place[0].index, place[1]] = _loss(*place, policy, known)

    known.of_small(blob for layer in layers for blob in layer.blobs)
    places = [(layer, index) for layer in layers for index in range(len(layer.blobs))]
    parallel.each(look, sorted(places, key=lambda place: -place[0].blobs[place[1]].count))
    all_losses = [by_place[layer.index, index] for layer, index in places]
    return [loss for loss in all_losses if loss.channels.size]


def harmful(lost: Sequence[Loss], effect: Effect) -> List[Loss]:
    """The losses without channels whose errors are too small to matter in any layer that reads them.

    effect: the share that the errors of some channels of a layer have in the sums of the following layers.
    """
    found = [_without_harmless(loss, effect) for loss in lost]
    return [loss for loss in found if loss.channels.size]


def _loss(layer: Layer, index: int, policy: HalfPolicy, known: Measures) -> Loss:
    blob, layout = layer.blobs[index], layout_of(layer, index)
    overflow = poor = np.zeros(0, np.int64)
    if not _stays_finite(blob, known):
        overflow = overflowing(blob, channels_of(layer, index) or Layout(1, 1, 1, blob.count))
    if layout is not None:
        poor = _poor_bias(layer, index, policy, known) if index else _poor_weights(layer, layout, policy, known)
    # numpy.unique, which numpy.union1d calls, imports a package that few processes need.
    channels = np.union1d(overflow, poor) if overflow.size and poor.size else np.concatenate([overflow, poor])
    return Loss(layer, index, channels, overflow)


def _stays_finite(blob: Blob, known: Measures) -> bool:
    """Whether no element overflows. A bound is tried first: it costs nothing if the base of a recipe was measured."""
    return (isinstance(blob, ScaledBlob) and known.bound(blob) < LARGEST) or known.of(blob).safe


def overflowing(blob: Blob, layout: Layout) -> np.ndarray:
    """Channels with an element that is not finite in half precision."""
    beyond = np.zeros(layout.channels, bool)
    position = 0
    for chunk in blob.chunks():
        places = np.flatnonzero(~(np.abs(chunk) < OVERFLOW))
        beyond[layout.channel(places + position)] = True
        position += chunk.size
    return np.flatnonzero(beyond)


def _poor_weights(layer: Layer, layout: Layout, policy: HalfPolicy, known: Measures) -> np.ndarray:
    """Channels whose weights lose too much. Small weights lose little, which large ones of the channel outweigh."""
    blob = layer.blobs[0]
    smallest = layout.size / layout.channels * policy.small_error**2 * RATIO * 1.01
    doubtful = _sampled_energy(layer, known) < smallest
    if not doubtful.any():
        return np.zeros(0, np.int64)
    poor: np.ndarray = np.flatnonzero(doubtful & (by_channel(blob, layout, policy, doubtful).snr < POOR))
    return poor


def _poor_bias(layer: Layer, index: int, policy: HalfPolicy, known: Measures) -> np.ndarray:
    """Channels whose bias loses too much, compared with the bias and the weights together."""
    bias = layer.blobs[index].array().astype(np.float64).reshape(-1)
    with np.errstate(all="ignore"):
        error = np.abs(rounded(bias, policy) - bias)
        doubtful = np.isfinite(error) & (RATIO * error**2 > bias**2)
        layout = layout_of(layer, 0)
        if doubtful.any() and layout is not None:
            doubtful &= RATIO * error**2 > bias**2 + _sampled_energy(layer, known)
    if not doubtful.any() or layout is None:
        return np.zeros(0, np.int64)
    energy = by_channel(layer.blobs[0], layout, chosen=doubtful).signal
    poor: np.ndarray = np.flatnonzero(doubtful & (RATIO * error**2 > bias**2 + energy))
    return poor


def _sampled_energy(layer: Layer, known: Measures) -> np.ndarray:
    """The sum of the squares of the sampled weights of each channel: a lower bound for that of all."""
    places = sampled_weights(layer, known)
    if places is None:  # a Scale or a Bias: one element per channel
        return np.square(layer.blobs[0].array().astype(np.float64).reshape(-1))
    energy: np.ndarray = np.square(weights_at(layer.blobs[0], places, known)).sum(axis=1)
    return energy


def _without_harmless(loss: Loss, effect: Effect) -> Loss:
    poor = np.setdiff1d(loss.channels, loss.overflow)
    if poor.size:
        poor = poor[effect(loss.layer, poor) > NO_EFFECT]
    return loss._replace(channels=np.union1d(loss.overflow, poor))
