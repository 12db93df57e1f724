"""Which channels half precision loses: a number overflows, or too little of the channel is left.

Most blobs are cleared by what is known already, or by a few of each channel's weights; the others are read.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import parallel
from ..blobs.blob import Blob
from ..blobs.scaled import Layout, ScaledBlob
from ..net.graph import Layer
from .channels import POOR, by_channel
from .influence import NO_EFFECT, channels_of, layout_of
from .measures import Measures
from .rounding import IEEE, LARGEST, OVERFLOW, HalfPolicy, rounded
from .sampling import sampled_weights, weights_at

Effect = Callable[[Layer, np.ndarray], np.ndarray]

RATIO = 10 ** (POOR / 10)


class Loss(NamedTuple):
    """Channels of one blob of a layer. overflow: those of them in which a number overflows or is not finite."""

    layer: Layer
    blob: int
    channels: np.ndarray
    overflow: np.ndarray


def losses(
    layers: Sequence[Layer],
    effect: Optional[Effect] = None,
    policy: HalfPolicy = IEEE,
    measures: Optional[Measures] = None,
) -> List[Loss]:
    """The losses of all blobs, in the order of the net; with `effect`, without those that do no harm.

    effect: which share the errors of some channels of a layer have in what the layers behind it sum up. policy: what
    becomes of small numbers; large ones overflow as in IEEE 754, also where a device would clip them. measures: what is
    known of the blobs.
    Raises InputError for numbers that cannot be read.
    """
    known = measures or Measures()
    answers: Dict[Tuple[int, int], Loss] = {}

    def look(place: Tuple[Layer, int]) -> None:
        with np.errstate(all="ignore"):  # NaN of any kind, and infinity, are losses
            answers[place[0].index, place[1]] = _loss(*place, policy, known)

    known.of_small(blob for layer in layers for blob in layer.blobs)
    places = [(layer, number) for layer in layers for number in range(len(layer.blobs))]
    parallel.each(look, sorted(places, key=lambda place: -place[0].blobs[place[1]].count))
    found = [answers[layer.index, number] for layer, number in places]
    if effect is not None:
        found = [_without_harmless(loss, effect) for loss in found]
    return [loss for loss in found if loss.channels.size]


def _loss(layer: Layer, number: int, policy: HalfPolicy, known: Measures) -> Loss:
    blob, layout = layer.blobs[number], layout_of(layer, number)
    overflow = poor = np.zeros(0, np.int64)
    if not _stays_finite(blob, known):
        overflow = overflowing(blob, channels_of(layer, number) or Layout(1, 1, 1, blob.count))
    if layout is not None:
        poor = _poor_bias(layer, number, policy, known) if number else _poor_weights(layer, layout, policy, known)
    # numpy.unique, below numpy.union1d, imports a package that few processes need.
    channels = np.union1d(overflow, poor) if overflow.size and poor.size else np.concatenate([overflow, poor])
    return Loss(layer, number, channels, overflow)


def _stays_finite(blob: Blob, known: Measures) -> bool:
    """By a bound if that is enough: it costs nothing where the blob below a recipe has been measured."""
    return (isinstance(blob, ScaledBlob) and known.bound(blob) < LARGEST) or known.of(blob).safe


def overflowing(blob: Blob, layout: Layout) -> np.ndarray:
    """Channels with a number that is not finite in half."""
    found = np.zeros(layout.channels, bool)
    position = 0
    for chunk in blob.chunks():
        places = np.flatnonzero(~(np.abs(chunk) < OVERFLOW))
        found[layout.channel(places + position)] = True
        position += chunk.size
    return np.flatnonzero(found)


def _poor_weights(layer: Layer, layout: Layout, policy: HalfPolicy, known: Measures) -> np.ndarray:
    """Channels whose weights lose too much. A small number is off by little, so large ones make up for it."""
    blob = layer.blobs[0]
    smallest = layout.size / layout.channels * policy.small_error**2 * RATIO * 1.01
    doubtful = _sampled_energy(layer, known) < smallest
    if not doubtful.any():
        return np.zeros(0, np.int64)
    poor: np.ndarray = np.flatnonzero(doubtful & (by_channel(blob, layout, policy, doubtful).snr < POOR))
    return poor


def _poor_bias(layer: Layer, number: int, policy: HalfPolicy, known: Measures) -> np.ndarray:
    """Channels whose bias is off by too much, beside their weights."""
    bias = layer.blobs[number].array().astype(np.float64).reshape(-1)
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
    """The sum of the squares of some weights of each channel: not more than that of all."""
    places = sampled_weights(layer)
    if places is None:  # a Scale or a Bias: a number each
        return np.square(layer.blobs[0].array().astype(np.float64).reshape(-1))
    energy: np.ndarray = np.square(weights_at(layer.blobs[0], places, known)).sum(axis=1)
    return energy


def _without_harmless(loss: Loss, effect: Effect) -> Loss:
    """Leaves out channels whose errors are too small to matter in any layer that reads them."""
    poor = np.setdiff1d(loss.channels, loss.overflow)
    if poor.size:
        poor = poor[effect(loss.layer, poor) > NO_EFFECT]
    return loss._replace(channels=np.union1d(loss.overflow, poor))
