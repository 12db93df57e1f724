"""Each rewritten layer proves itself: the old layers, each by its own definition, against the new numbers as read back.

For every output channel some of its weights are drawn (at most SAMPLES) and multiplied by random vectors; what comes
out runs through the chain's layers by their forward functions, in float64, and must equal what the new weights give.
Nothing here uses the affines or the layouts that made the new numbers.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np
from numpy.typing import NDArray

from .blob import Blob
from .errors import InternalError
from .net import Layer
from .passes import Rewrite

SAMPLES = 64  # weights of a channel
VECTORS = 3
FLOAT64_NOISE = 2.0**-44  # of some hundred roundings, relative to the magnitudes they work on
Matrix = NDArray[np.float64]


class Outputs(NamedTuple):
    """(VECTORS, channels) each: the values, and the sum of the magnitudes that make them up."""

    values: Matrix
    size: Matrix


def prove(rewrite: Rewrite, written: Sequence[Blob]) -> None:
    """Raises InternalError when the written blobs do not do what the layers before did."""
    rng = np.random.default_rng(rewrite.after.index)
    first = rewrite.before[0]
    absorber = first.row.absorb if first.row is not None else None
    if rewrite.rule == "fold" and absorber is not None:
        places = absorber.columns(first.parameter, first.blobs[0].shape, SAMPLES, rng)
        old, new = (_weighted(first, blobs, places) for blobs in (first.blobs, written))
        chain = rewrite.before[1:]
    else:
        scale, shift = (blob.array().astype(np.float64) for blob in written)
        values = rng.standard_normal((VECTORS, scale.size))
        old = Outputs(values, np.abs(values))
        new = Outputs(values * scale + shift, np.abs(values * scale) + np.abs(shift))
        chain = rewrite.before
    expected = _through(chain, old, rewrite)
    # The new numbers are rounded once to float32: half a unit in the last place of each term, or of the smallest.
    bound = new.size * 2.0**-24 + SAMPLES * 2.0**-149 + expected.size * FLOAT64_NOISE
    wrong = ~(np.abs(expected.values - new.values) <= bound)
    if wrong.any():
        vector, channel = np.argwhere(wrong)[0]
        raise InternalError(
            f"the proof of layer {rewrite.after.name} failed: channel {channel} gives "
            f"{new.values[vector, channel]!r} instead of {expected.values[vector, channel]!r}",
            remedy="nothing was written; please report this with the two files",
        )


def _weighted(layer: Layer, blobs: Sequence[Blob], places: NDArray[np.int64]) -> Outputs:
    """What the sampled weights and the bias give for random vectors, the same ones for the same layer."""
    flat = places.reshape(-1)
    order = np.argsort(flat, kind="stable")
    weights = np.empty(flat.size)
    weights[order] = blobs[0].take(flat[order])
    vectors = np.random.default_rng(layer.index).standard_normal((VECTORS, *places.shape))
    products = vectors * weights.reshape(places.shape)
    bias = blobs[1].array().astype(np.float64).reshape(-1) if len(blobs) > 1 else np.zeros(len(places))
    return Outputs(products.sum(axis=2) + bias, np.abs(products).sum(axis=2) + np.abs(bias))


def _through(chain: Sequence[Layer], start: Outputs, rewrite: Rewrite) -> Outputs:
    """The chain's layers one by one; `size` follows as far as each layer is linear."""
    shape = [1] * rewrite.rank
    shape[rewrite.axis] = start.values.shape[1]
    values, size = start.values, start.size
    for layer in chain:
        constant = _forward(layer, np.zeros_like(values), shape)
        size = np.abs(_forward(layer, size, shape) - constant) + np.abs(constant)
        values = _forward(layer, values, shape)
    return Outputs(values, size)


def _forward(layer: Layer, vectors: Matrix, shape: Sequence[int]) -> Matrix:
    """The layer by its own definition, one vector of channels at a time."""
    row = layer.row
    assert row is not None
    assert row.forward is not None
    blobs = [blob.array().astype(np.float64) for blob in layer.blobs]
    tops = [row.forward(layer.parameter, blobs, [vector.reshape(shape)])[0] for vector in vectors]
    return np.stack([top.reshape(-1) for top in tops])
