"""A blob for tests that shows how it is read."""

from __future__ import annotations

from typing import Iterator

import numpy as np

from caffe_fuse.blobs.blob import Blob, Reader


class Pieces(Blob):
    """Values in chunks of a given size, all through one buffer; counts how often they are read."""

    def __init__(self, values: np.ndarray, size: int) -> None:
        super().__init__(values.shape, values.dtype)
        self.values = values
        self.size = size
        self.reads = 0

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        self.reads += 1
        buffer = np.empty(self.size, self.dtype)
        for first in range(0, self.count, self.size):
            piece = self.values[first : first + self.size]
            buffer[: len(piece)] = piece
            yield buffer[: len(piece)]
            buffer[:] = np.nan
