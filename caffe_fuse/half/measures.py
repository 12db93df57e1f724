"""Measures blobs as they are read, each at most once, and keeps the few elements that are needed later."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Tuple

import numpy as np

from .. import parallel
from ..blobs.blob import CHUNK, SMALL, Blob, CastBlob, borrowed
from ..blobs.scaled import ScaledBlob
from .meter import NOTHING, BlobStats, Meter, stats_of
from .rounding import IEEE, HalfPolicy


class Measures:
    """The stats of blobs in half precision, and some of their elements: each blob is read at most once for both.

    One is created at the start of a piece of work and passed along. Blobs never change, and are compared by identity.
    policy: how the device rounds. places: by a layer's index and the shape of its weights, which of them are sampled.
    """

    def __init__(self, policy: HalfPolicy = IEEE) -> None:
        self.policy = policy
        self.places: Dict[Tuple[int, Tuple[int, ...]], np.ndarray] = {}
        self._stats: Dict[Blob, BlobStats] = {}
        self._wanted: Dict[Blob, np.ndarray] = {}
        self._taken: Dict[Blob, np.ndarray] = {}

    def want(self, blob: Blob, indices: np.ndarray) -> None:
        """Keeps the elements at these sorted flat indices for `take` when the blob is read."""
        while isinstance(blob, CastBlob):
            blob = blob.base
        self._wanted[blob] = indices

    def take(self, blob: Blob, indices: np.ndarray) -> np.ndarray:
        """The elements at sorted flat indices as float64, as Blob.take."""
        taken = self._taken.get(blob)
        if taken is not None and np.array_equal(indices, self._wanted[blob]):
            return taken.astype(np.float64)
        return blob.take(indices, self.take)

    def watched(self, blob: Blob) -> Iterator[np.ndarray]:
        """The chunks of a blob, measured on the way: after the last one, `of` need not read the blob.

        The base of a recipe is measured too. Small blobs are not: `of_small` measures them together.
        """
        chunks = blob.chunks(read=self.watched)
        if blob in self._wanted and blob not in self._taken:
            chunks = self._keeping(blob, chunks)
        if blob in self._stats or blob.count <= SMALL:
            yield from chunks
            return
        wide = np.dtype(np.float32) if blob.dtype == np.float16 else blob.dtype
        with borrowed(min(blob.count, CHUNK), wide) as buffer:
            meter = Meter(buffer, self.policy)
            for chunk in chunks:
                meter.add(chunk)
                yield chunk
        self._stats[blob] = meter.stats()

    def _keeping(self, blob: Blob, chunks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        wanted, position = self._wanted[blob], 0
        kept = np.empty(len(wanted), blob.dtype)
        for chunk in chunks:
            first, end = np.searchsorted(wanted, (position, position + len(chunk)))
            kept[first:end] = chunk[wanted[first:end] - position]
            position += len(chunk)
            yield chunk
        self._taken[blob] = kept

    def of(self, blob: Blob) -> BlobStats:
        """The stats of a blob. Raises InputError if it cannot be read."""
        if blob not in self._stats:
            self.of_all([blob])
        return self._stats[blob]

    def bound(self, blob: ScaledBlob) -> float:
        """A magnitude that no element of the recipe exceeds, without reading it; infinite if its base is not finite."""
        base = self.of(blob.base)
        gain = float(np.prod([np.abs(each.factors).max() for each in blob.scalings]))
        return float("inf") if base.nan or base.inf else base.max_abs * gain

    def of_all(self, blobs: Iterable[Blob]) -> None:
        """Measures the blobs that were not measured yet: large ones in a few threads, small ones together.

        The base of a recipe is measured on the way, and not read for itself.
        """
        new = [blob for blob in dict.fromkeys(blobs) if blob not in self._stats]
        bases = {blob.base for blob in new if isinstance(blob, ScaledBlob)}
        large = [blob for blob in new if blob.count > SMALL and blob not in bases]
        parallel.each(self._read, sorted(large, key=lambda blob: -blob.count))
        self.of_small(new)

    def of_small(self, blobs: Iterable[Blob]) -> None:
        """Measures the blobs of few elements together: one by one takes longer."""
        new = [blob for blob in dict.fromkeys(blobs) if blob.count <= SMALL and blob not in self._stats]
        for small in _batches(blob for blob in new if blob.count):
            self._stats.update(zip(small, stats_of([blob.array().reshape(-1) for blob in small], self.policy)))
        self._stats.update((blob, NOTHING) for blob in new if not blob.count)

    def _read(self, blob: Blob) -> None:
        for _ in self.watched(blob):
            pass


def _batches(blobs: Iterable[Blob]) -> Iterator[List[Blob]]:
    """The blobs in groups of no more than a chunk of elements together."""
    batch: List[Blob] = []
    room = CHUNK
    for blob in blobs:
        if blob.count > room:
            yield batch
            batch, room = [], CHUNK
        batch.append(blob)
        room -= blob.count
    if batch:
        yield batch
