"""What rounding alone does to a net: each of its weights goes to a neighbour in the type that it is stored in.

One run of a net tells little of its noise: where a blob is small, such as two probabilities, its error may be next to
nothing by luck. Runs with moved weights make other errors of the same kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterator

import numpy as np

from ..blobs.blob import FLOAT16, FLOAT32, Blob, Reader, cast
from ..net.graph import Net

_SMALLEST = np.finfo(FLOAT32).tiny


class _MovedBlob(Blob):
    """The numbers of another blob, each one unit in the last place away: of halves as halves, else of float32."""

    def __init__(self, base: Blob, seed: int) -> None:
        super().__init__(base.shape, FLOAT32, legacy=base.legacy)
        self.base = base
        self._seed = seed
        self._type = FLOAT16 if base.dtype == FLOAT16 else FLOAT32

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        random = np.random.RandomState(self._seed)
        for chunk in read(self.base):
            numbers = cast(chunk, self._type)
            with np.errstate(all="ignore"):
                steps = np.spacing(numbers).astype(FLOAT32) * (2 * random.randint(0, 2, chunk.size, np.int8) - 1)
                moved = (numbers + steps).astype(FLOAT32)
            # A float32 0 stays: beside it are subnormal numbers, with which processors are slow.
            yield np.where(np.isfinite(moved) & (np.abs(moved) >= _SMALLEST), moved, numbers)


def moved(net: Net, seed: int) -> Net:
    """The net with other numbers for each seed; blobs that layers share stay shared."""
    made: Dict[Blob, Blob] = {}
    layers = []
    for layer in net.layers:
        for blob in layer.blobs:
            made.setdefault(blob, _MovedBlob(blob, (seed << 16) + len(made)))
        layers.append(replace(layer, blobs=tuple(made[blob] for blob in layer.blobs)))
    return net.with_layers(layers)
