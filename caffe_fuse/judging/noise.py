"""The noise that rounding alone causes in a net: each weight moves to a neighbour in the type that it is stored in.

One run of a net says little about its noise: the error of a small blob, such as two probabilities, may be almost 0 by
chance. Runs with moved weights have other errors of the same kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterator

import numpy as np

from ..blobs.blob import FLOAT16, FLOAT32, Blob, Reader, cast
from ..net.graph import Net

_SMALLEST = np.finfo(FLOAT32).tiny


class _MovedBlob(Blob):
    """The values of another blob, each moved by one unit in the last place: of fp16 if stored so, else of float32."""

    def __init__(self, base: Blob, seed: int) -> None:
        super().__init__(base.shape, FLOAT32, legacy=base.legacy)
        self.base = base
        self._seed = seed
        self._type = FLOAT16 if base.dtype == FLOAT16 else FLOAT32

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        random = np.random.RandomState(self._seed)
        for chunk in read(self.base):
            values = cast(chunk, self._type)
            with np.errstate(all="ignore"):
                steps = np.spacing(values).astype(FLOAT32) * (2 * random.randint(0, 2, chunk.size, np.int8) - 1)
                moved = (values + steps).astype(FLOAT32)
            # A float32 0 stays: its neighbours are subnormal, which is slow on many processors.
            yield np.where(np.isfinite(moved) & (np.abs(moved) >= _SMALLEST), moved, values)


def moved(net: Net, seed: int) -> Net:
    """The net with moved weights, different for each seed; blobs that layers share stay shared."""
    made: Dict[Blob, Blob] = {}
    layers = []
    for layer in net.layers:
        for blob in layer.blobs:
            made.setdefault(blob, _MovedBlob(blob, (seed << 16) + len(made)))
        layers.append(replace(layer, blobs=tuple(made[blob] for blob in layer.blobs)))
    return net.with_layers(layers)
