"""The half-range verdict: every blob of a net measured, each once, and the worst of what is found."""

from __future__ import annotations

import weakref
from typing import Iterable, Iterator, List, MutableMapping, NamedTuple, Optional, Tuple

import numpy as np

from . import parallel
from .blob import CHUNK, Blob, borrowed
from .meter import NOTHING, BlobStats, Meter, joined, stats_of
from .rounding import IEEE, HalfPolicy
from .scaled import Layout

# Blobs of fewer elements are measured many at a time.
_FEW = 1 << 12


# Blobs never change, and they are told apart by identity.
_measured: MutableMapping[Blob, BlobStats] = weakref.WeakKeyDictionary()


def metered(blob: Blob) -> Iterator[np.ndarray]:
    """The chunks of a blob, measured as they go by: once all are taken, `measure` need not read it.

    The base of a recipe is measured with it. Small blobs are not: `analyse` measures them together.
    """
    chunks = blob.chunks(read=metered)
    if blob in _measured or blob.count <= _FEW:
        yield from chunks
        return
    wide = np.dtype(np.float32) if blob.dtype == np.float16 else blob.dtype
    with borrowed(min(blob.count, CHUNK), wide) as buffer:
        meter = Meter(buffer)
        for chunk in chunks:
            meter.add(chunk)
            yield chunk
    _measured[blob] = meter.stats()


def measure(blob: Blob) -> BlobStats:
    """What half precision makes of a blob; read at most once. InputError when its numbers cannot be read."""
    if blob not in _measured:
        _measure_all([blob])
    return _measured[blob]


def _measure_all(blobs: Iterable[Blob]) -> None:
    """Measures what was not measured yet: large blobs in a few threads, small ones together."""
    new = [blob for blob in dict.fromkeys(blobs) if blob not in _measured]
    parallel.each(_measure_large, sorted((blob for blob in new if blob.count > _FEW), key=lambda blob: -blob.count))
    measure_small(new)


def measure_small(blobs: Iterable[Blob]) -> None:
    """Measures together those with few numbers: one by one takes longer."""
    new = [blob for blob in dict.fromkeys(blobs) if blob.count <= _FEW and blob not in _measured]
    small = [blob for blob in new if blob.count]
    if small:
        _measured.update(zip(small, stats_of([blob.array().reshape(-1) for blob in small])))
    _measured.update((blob, NOTHING) for blob in new if not blob.count)


def measure_under(blob: Blob, policy: HalfPolicy) -> BlobStats:
    """What becomes of a blob on a device with this policy. InputError when its numbers cannot be read."""
    if policy.is_ieee:
        return measure(blob)
    stats = NOTHING
    for chunk in blob.chunks():
        stats = joined(stats, *stats_of([chunk], policy))
    return stats


def _measure_large(blob: Blob) -> None:
    for _ in metered(blob):
        pass


# The layer's name, the number of the blob in it, the blob, and where its output channels lie if it has any.
Entry = Tuple[str, int, Blob, Optional[Layout]]


class HalfRow(NamedTuple):
    """The stats of one blob of a layer. channel: the output channel of the worst element, None if unknown."""

    layer: str
    blob: int
    stats: BlobStats
    channel: Optional[int]


class HalfReport(NamedTuple):
    """The verdict on a net. rows: one for each blob in the order given, none where the policy is not checked."""

    policy: HalfPolicy
    rows: Tuple[HalfRow, ...]

    @property
    def safe(self) -> bool:
        """Whether every number rounds to a finite half, or nobody asked."""
        return all(row.stats.safe for row in self.rows)

    def worst(self, count: int) -> Tuple[HalfRow, ...]:
        """The `count` rows that lose most: NaN and infinities, then overflows, then by relative error."""
        return tuple(sorted(self.rows, key=_loss, reverse=True)[:count])


def analyse(entries: Iterable[Entry], policy: HalfPolicy = IEEE) -> HalfReport:
    """Measure these blobs. Where the policy is not checked nothing is read."""
    rows: List[HalfRow] = []
    wanted = list(entries) if policy.checked else []
    if policy.is_ieee:
        _measure_all(blob for _, _, blob, _ in wanted)
    for layer, number, blob, layout in wanted:
        stats = measure_under(blob, policy)
        channel = None
        if layout is not None and stats.worst is not None:
            channel = int(layout.channel(np.array([stats.worst.index]))[0])
        rows.append(HalfRow(layer, number, stats, channel))
    return HalfReport(policy, tuple(rows))


def _loss(row: HalfRow) -> Tuple[bool, float, float]:
    stats = row.stats
    return (bool(stats.nan or stats.inf), stats.max_abs if stats.overflow else 0.0, stats.max_relative_error)
