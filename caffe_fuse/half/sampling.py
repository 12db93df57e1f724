"""Sampled weights of each output channel, the same in every run: for the proof, and to estimate rounding losses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Iterable, Optional, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..blobs.blob import Blob
    from ..net.graph import Layer
    from .measures import Measures

SAMPLES = 16  # per channel; more take longer than the fold itself


class Chance:
    """Seeded random numbers by splitmix64: importing numpy.random takes longer than the proof of a net.

    https://prng.di.unimi.it/splitmix64.c
    """

    def __init__(self, seed: int) -> None:
        self._drawn = seed << 32

    def random(self, shape: Tuple[int, ...]) -> NDArray[np.float64]:
        """Uniform in [0, 1)."""
        count = math.prod(shape)
        places = np.arange(self._drawn + 1, self._drawn + count + 1, dtype=np.uint64)
        self._drawn += count
        bits = places * np.uint64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits ^= bits >> np.uint64(31)
        return (bits >> np.uint64(11)).astype(np.float64).reshape(shape) * 2.0**-53


def sampled_weights(layer: Layer, measures: Measures) -> Optional[NDArray[np.int64]]:
    """Flat indices of the sampled weights of each output channel, (channels, n); None for a layer without weights.

    measures: keeps them, as they are needed before a fold and after it.
    """
    if layer.layer_type is None or layer.layer_type.absorb is None or not layer.blobs:
        return None
    shape = layer.blobs[0].shape
    if (layer.index, shape) not in measures.places:
        drawn = layer.layer_type.absorb.sampled_weights(layer.parameter, shape, SAMPLES, Chance(layer.index))
        measures.places[layer.index, shape] = drawn
    return measures.places[layer.index, shape]


def want(layers: Iterable[Layer], measures: Measures) -> None:
    """Has `measures` keep the weights that `weights_at` needs, when their blobs are read."""
    for layer in layers:
        places = sampled_weights(layer, measures)
        if places is not None:
            flat = places.reshape(-1)
            measures.want(layer.blobs[0], flat if _ascend(flat) else np.sort(flat))


def weights_at(blob: Blob, places: NDArray[np.int64], measures: Measures) -> NDArray[np.float64]:
    """The weights at the flat indices that `sampled_weights` returned, in the shape of `places`."""
    flat = places.reshape(-1)
    if _ascend(flat):
        return measures.take(blob, flat).reshape(places.shape)
    order = np.argsort(flat, kind="stable")
    weights = np.empty(flat.size)
    weights[order] = measures.take(blob, flat[order])
    return weights.reshape(places.shape)


def _ascend(places: NDArray[np.int64]) -> bool:
    return bool((places[:-1] <= places[1:]).all())
