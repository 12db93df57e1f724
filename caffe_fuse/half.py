"""What becomes of numbers when a device rounds them to IEEE half precision.

A half has 11 significant bits. Its largest value is 65504, its smallest normal one 2^-14 and its smallest
subnormal one 2^-24. Rounding is to nearest, ties to even, as `numpy.float16` does it. Then for a number x
    |x| >= 65520            overflows: it lies at least half a step behind 65504
    65504 < |x| < 65520     is clipped to 65504
    |x| < 2^-14 - 2^-25     becomes a subnormal half, unless it underflows
    0 < |x| <= 2^-25        underflows to zero
and the relative error of any other finite x is at most 1/2049: half a step, 2^-11, over 1 + 2^-11.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, MutableMapping, NamedTuple, Optional, Tuple

import numpy as np

from . import parallel
from .blob import CHUNK, Blob, Layout, borrowed

LARGEST = 65504.0
OVERFLOW = 65520.0
SMALLEST_NORMAL = 2.0**-14
LARGEST_NORMAL_ERROR = 1 / 2049

# The integer of the same size, the bits of the fraction, and how many of those a half has no room for.
_BITS = {np.dtype(np.float32): ("u4", 23, 13), np.dtype(np.float64): ("u8", 52, 42)}
# Elements looked at in one go: they and their magnitudes stay in a processor's second cache.
_MANY = 1 << 16
# Of those the ones that are rounded first where none is small: a larger error than theirs is rare.
_SAMPLE = 1024


class Policy(NamedTuple):
    """How a device treats halves. name: as in `--half-policy`. checked: whether there is a verdict at all."""

    name: str
    checked: bool


IEEE = Policy("ieee", checked=True)
POLICIES: Dict[str, Policy] = {policy.name: policy for policy in (IEEE, Policy("off", checked=False))}


@dataclass(frozen=True)
class Worst:
    """The element that half precision treats worst. index: into the flat blob, value: as it is stored."""

    index: int
    value: float


@dataclass(frozen=True)
class BlobStats:
    """What half precision makes of one blob; the module says where the classes begin and end.

    max_abs: the largest finite magnitude, or 0. min_nonzero: the smallest finite one above 0, or 0.
    subnormal: how many become a nonzero subnormal half. underflow: how many become 0 and were not.
    max_relative_error: of |half(x) - x| / |x| over what is finite and does not overflow; 1 for an underflow.
    worst: the first NaN or infinity; without them the largest magnitude if it overflows; else the element
    with the largest relative error; of equals always the first. None where every element is a half already.
    """

    count: int
    max_abs: float
    min_nonzero: float
    overflow: int
    clipped: int
    subnormal: int
    underflow: int
    zeros: int
    nan: int
    inf: int
    worst: Optional[Worst]
    max_relative_error: float

    @property
    def safe(self) -> bool:
        """Whether every element rounds to a finite half."""
        return not (self.overflow or self.nan or self.inf)


class _Meter:
    """Adds up the numbers of one blob, chunk by chunk.

    Rounding everything would take several times as long as reading it. So only those elements are rounded
    that matter: the few with a small magnitude, and of the others what can beat the largest error so far.
    """

    def __init__(self, buffer: np.ndarray) -> None:
        self._buffer = buffer  # for the magnitudes of a chunk
        self._count = 0
        self._max_abs = self._error = 0.0
        self._min_nonzero = np.inf
        self._overflow = self._clipped = self._subnormal = self._underflow = self._zeros = 0
        self._nan = self._inf = 0
        self._lossiest: Optional[Worst] = None
        self._largest: Optional[Worst] = None
        self._first_not_finite: Optional[Worst] = None
        self._small: List[Tuple[np.ndarray, np.ndarray]] = []
        self._waiting = 0
        self._patience = 1  # the first ones are studied at once: their errors rule out nearly all normal elements

    def add(self, chunk: np.ndarray) -> None:
        """Take in the next numbers (1-D, float16, float32 or float64)."""
        if chunk.dtype == np.float16:
            chunk = chunk.astype(np.float32)
        with np.errstate(all="ignore"):
            magnitude = np.abs(chunk, out=self._buffer[: chunk.size])
            # Both are NaN where any element is, so the comparisons are written to hold then.
            lowest, highest = float(magnitude.min()), float(magnitude.max())
            if highest <= LARGEST:
                self._max_abs = max(self._max_abs, highest)
            else:
                self._add_large(chunk, magnitude)
            if lowest >= SMALLEST_NORMAL:
                self._min_nonzero = min(self._min_nonzero, lowest)
            else:
                self._add_small(chunk, magnitude)
            if self._normal_may_matter():
                # A few first: the error found in them rules out nearly all others.
                self._add_normal(chunk, magnitude, 0, _SAMPLE)
                if chunk.size > _SAMPLE:
                    self._add_normal(chunk, magnitude, _SAMPLE, chunk.size)
        self._count += chunk.size

    def stats(self) -> BlobStats:
        """The sums so far."""
        if self._small:
            self._study_small()
        return BlobStats(
            count=self._count,
            max_abs=self._max_abs,
            min_nonzero=float(self._min_nonzero) if self._min_nonzero < np.inf else 0.0,
            overflow=self._overflow,
            clipped=self._clipped,
            subnormal=self._subnormal,
            underflow=self._underflow,
            zeros=self._zeros,
            nan=self._nan,
            inf=self._inf,
            worst=self._first_not_finite or self._largest or self._lossiest,
            max_relative_error=self._error,
        )

    def _element(self, chunk: np.ndarray, position: int) -> Worst:
        return Worst(self._count + position, float(chunk[position]))

    def _add_large(self, chunk: np.ndarray, magnitude: np.ndarray) -> None:
        finite = np.isfinite(magnitude)
        nan = int(np.count_nonzero(np.isnan(magnitude)))
        self._nan += nan
        self._inf += chunk.size - nan - int(np.count_nonzero(finite))
        if self._first_not_finite is None and not finite.all():
            self._first_not_finite = self._element(chunk, int(np.argmin(finite)))
        magnitude = np.where(finite, magnitude, 0)
        overflow = int(np.count_nonzero(magnitude >= OVERFLOW))
        self._overflow += overflow
        self._clipped += int(np.count_nonzero(magnitude > LARGEST)) - overflow
        position = int(np.argmax(magnitude))
        highest = float(magnitude[position])
        if highest > self._max_abs and overflow:
            self._largest = self._element(chunk, position)
        self._max_abs = max(self._max_abs, highest)

    def _add_small(self, chunk: np.ndarray, magnitude: np.ndarray) -> None:
        positions = np.flatnonzero(magnitude < SMALLEST_NORMAL)
        self._small.append((positions + self._count, chunk[positions]))
        self._waiting += positions.size
        if self._waiting >= self._patience:
            self._study_small()
        if positions.size == magnitude.size or self._min_nonzero < SMALLEST_NORMAL:
            return
        if not magnitude[positions].any():
            others = magnitude[magnitude > 0]
            self._min_nonzero = min(self._min_nonzero, float(others.min(initial=np.inf)))

    def _study_small(self) -> None:
        """Rounds the small elements that wait: many at a time, for a call of numpy costs more than a few numbers."""
        places, small = (np.concatenate(parts) for parts in zip(*self._small))
        self._small, self._waiting, self._patience = [], 0, _MANY
        values = np.abs(small).astype(np.float64)
        nonzero = values > 0
        self._zeros += int(values.size - np.count_nonzero(nonzero))
        places, small, values = places[nonzero], small[nonzero], values[nonzero]
        if values.size:
            self._min_nonzero = min(self._min_nonzero, float(values.min()))
            # Down here halves are the multiples of 2^-24; a processor is slow to convert to them.
            halves = np.rint(values * 2.0**24) * 2.0**-24
            underflow = int(np.count_nonzero(halves == 0))
            self._underflow += underflow
            self._subnormal += int(np.count_nonzero(halves < SMALLEST_NORMAL)) - underflow
            self._note_errors(places, small, halves)

    def _normal_may_matter(self) -> bool:
        """Whether a normal element of these can have the largest error, or be the first with it."""
        if self._error == LARGEST_NORMAL_ERROR and self._lossiest is not None:
            return self._lossiest.index >= self._count
        return self._error < LARGEST_NORMAL_ERROR

    def _add_normal(self, chunk: np.ndarray, magnitude: np.ndarray, start: int, end: int) -> None:
        """Look for a larger error among elements [start, end) of the chunk. Overwrites their magnitudes.

        x = s * 2^e with 1 <= s < 2 is off by at most 2^-11 / s of itself. So once an error is known, only an
        s close to 1 can beat it. Until then only what has a bit set that a half has no room for can be off.
        """
        integer, fraction, lost = _BITS[chunk.dtype]
        bits = magnitude[start:end].view(integer)
        if self._error == 0:
            bits &= bits.dtype.type(2**lost - 1)
            chosen = bits != 0
        else:
            bits &= bits.dtype.type(2**fraction - 1)
            # The second factor makes up for the rounding of the quotient.
            limit = min(2.0**-11 / self._error * (1 + 2.0**-40) - 1, 1.0)
            chosen = bits <= bits.dtype.type(limit * 2.0**fraction)
        positions = np.flatnonzero(chosen) + start
        values = np.abs(chunk[positions]).astype(np.float64)
        normal = (values >= SMALLEST_NORMAL) & (values < OVERFLOW)
        positions, values = positions[normal], values[normal]
        if values.size:
            halves = values.astype(np.float16).astype(np.float64)
            self._note_errors(positions + self._count, chunk[positions], halves)

    def _note_errors(self, places: np.ndarray, elements: np.ndarray, halves: np.ndarray) -> None:
        """Keep the largest relative error and its element. halves: magnitudes, of these elements."""
        values = np.abs(elements).astype(np.float64)
        # Exact but for the division: a half that is not 0 is within a factor of 2 of its number.
        errors = np.abs(halves - values) / values
        best = int(np.argmax(errors))
        error = float(errors[best])
        candidate = Worst(int(places[best]), float(elements[best]))
        earlier = self._lossiest is not None and candidate.index < self._lossiest.index
        if error > self._error or (error == self._error and earlier):
            self._error, self._lossiest = error, candidate


# Blobs never change, and they are told apart by identity.
_measured: MutableMapping[Blob, BlobStats] = weakref.WeakKeyDictionary()


def metered(blob: Blob) -> Iterator[np.ndarray]:
    """The chunks of a blob, measured as they go by: once all are taken, `measure` knows the answer.

    The base of a recipe is measured with it.
    """
    chunks = blob.chunks(read=metered)
    if blob in _measured:
        yield from chunks
        return
    wide = np.dtype(np.float32) if blob.dtype == np.float16 else blob.dtype
    with borrowed(min(blob.count, CHUNK), wide) as buffer:
        meter = _Meter(buffer)
        for chunk in chunks:
            meter.add(chunk)
            yield chunk
    _measured[blob] = meter.stats()


def measure(blob: Blob) -> BlobStats:
    """What half precision makes of a blob; read at most once. InputError when its numbers cannot be read."""
    if blob not in _measured:
        for _ in metered(blob):
            pass
    return _measured[blob]


# The layer's name, the number of the blob in it, the blob, and where its output channels lie if it has any.
Entry = Tuple[str, int, Blob, Optional[Layout]]


class HalfRow(NamedTuple):
    """The stats of one blob of a layer. channel: the output channel of the worst element, None if unknown."""

    layer: str
    blob: int
    stats: BlobStats
    channel: Optional[int]


class HalfReport(NamedTuple):
    """The verdict on a net. rows: one for each blob in the order given, none under the policy "off"."""

    policy: Policy
    rows: Tuple[HalfRow, ...]

    @property
    def safe(self) -> bool:
        """Whether every number rounds to a finite half, or nobody asked."""
        return all(row.stats.safe for row in self.rows)

    def worst(self, count: int) -> Tuple[HalfRow, ...]:
        """The `count` rows that lose most: NaN and infinities, then overflows, then by relative error."""
        return tuple(sorted(self.rows, key=_loss, reverse=True)[:count])


def analyse(entries: Iterable[Entry], policy: Policy = IEEE) -> HalfReport:
    """Measure these blobs. Under the policy "off" nothing is read."""
    rows: List[HalfRow] = []
    wanted = list(entries) if policy.checked else []
    # Small blobs are left to one thread: two would wait for each other's turn longer than the work takes.
    large = {blob for _, _, blob, _ in wanted if blob.count > _MANY}
    parallel.each(measure, sorted(large, key=lambda blob: -blob.count))
    for layer, number, blob, layout in wanted:
        stats = measure(blob)
        channel = None
        if layout is not None and stats.worst is not None:
            channel = int(layout.channel(np.array([stats.worst.index]))[0])
        rows.append(HalfRow(layer, number, stats, channel))
    return HalfReport(policy, tuple(rows))


def _loss(row: HalfRow) -> Tuple[bool, float, float]:
    stats = row.stats
    return (bool(stats.nan or stats.inf), stats.max_abs if stats.overflow else 0.0, stats.max_relative_error)
