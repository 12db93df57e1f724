"""Counts what becomes of the values of one blob when a device rounds them to fp16: the classes of classes.py.

The relative error of a value that is finite, normal and does not overflow is at most 1/2049 where the device rounds to
the nearest: half a step, 2^-11, over 1 + 2^-11. Where it truncates, it is less than 2^-10.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .classes import CLASSES, classify
from .rounding import IEEE, LARGEST, OVERFLOW, SMALLEST_NORMAL, HalfPolicy, rounded

# By rounding: the largest relative error of a normal value, and of one between 1 and 2 the largest error.
_LARGEST_ERRORS = {"nearest": (1 / 2049, 2.0**-11), "truncate": (2.0**-10, 2.0**-10)}

# The integer type of the same size, the bits of the fraction, and how many of those fp16 lacks.
_BITS = {np.dtype(np.float32): ("u4", 23, 13), np.dtype(np.float64): ("u8", 52, 42)}
# Elements processed at a time: they and their magnitudes fit into a processor's second-level cache.
_MANY = 1 << 16
# The first elements of a chunk, rounded before the others: few of those have a larger error.
_SAMPLE = 1024


class Worst(NamedTuple):
    """The element that half precision changes most. index: into the flat blob, value: as it is stored."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which is not needed
    value: float


class BlobStats(NamedTuple):
    """What half precision does to one blob; classes.py defines the classes.

    max_abs: the largest finite magnitude, or 0. min_nonzero: the smallest finite one above 0, or 0.
    subnormal: how many become a nonzero subnormal fp16 value. underflow: how many become 0 and were not.
    max_relative_error: of |fp16(x) - x| / |x| over elements that are finite and do not overflow; 1 for an underflow.
    worst: the first NaN or infinity; without those the largest magnitude if it overflows; else the element
    with the largest relative error; of equal ones the first. None if every element is an fp16 value already.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count
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
    def finite(self) -> bool:
        return not (self.nan or self.inf)

    @property
    def safe(self) -> bool:
        """Whether every element rounds to an fp16 value near it."""
        return not (self.overflow or self.nan or self.inf)


NOTHING = BlobStats(0, 0.0, 0.0, 0, 0, 0, 0, 0, 0, 0, None, 0.0)


class Meter:
    """Collects the stats of one blob, chunk by chunk.

    Rounding everything would take several times as long as reading it. So only the elements that matter are
    rounded: the few with a small magnitude, and of the others those that can exceed the largest error so far.
    """

    def __init__(self, buffer: np.ndarray, policy: HalfPolicy = IEEE) -> None:
        self._buffer = buffer  # for the magnitudes of a chunk
        self._policy = policy
        self._largest_error, self._step = _LARGEST_ERRORS[policy.rounding]
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
        self._patience = 1  # the first ones are rounded at once: their errors rule out nearly all normal elements

    def add(self, chunk: np.ndarray) -> None:
        """Adds the next elements (1-D, float16, float32 or float64)."""
        if chunk.dtype == np.float16:
            chunk = chunk.astype(np.float32)
        with np.errstate(all="ignore"):
            magnitude = np.abs(chunk, out=self._buffer[: chunk.size])
            highest = float(magnitude.max())
            if highest <= LARGEST:
                self._max_abs = max(self._max_abs, highest)
            else:  # or NaN: max propagates it
                self._add_large(chunk, magnitude)
            small = np.flatnonzero(magnitude < SMALLEST_NORMAL)
            if small.size:
                self._add_small(chunk, small)
            if self._min_nonzero >= SMALLEST_NORMAL:
                lowest = float(magnitude.min())
                if not lowest > 0:  # it is 0, or NaN
                    lowest = float(np.min(magnitude, initial=np.inf, where=magnitude > 0))
                self._min_nonzero = min(self._min_nonzero, lowest)
            if self._normal_may_matter():
                # A few first: the error found in them rules out nearly all others.
                self._add_normal(chunk, magnitude, 0, _SAMPLE)
                if chunk.size > _SAMPLE:
                    self._add_normal(chunk, magnitude, _SAMPLE, chunk.size)
        self._count += chunk.size

    def stats(self) -> BlobStats:
        """The stats so far."""
        if self._small:
            self._round_small()
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

    def _add_small(self, chunk: np.ndarray, positions: np.ndarray) -> None:
        self._small.append((positions + self._count, chunk[positions]))
        self._waiting += positions.size
        if self._waiting >= self._patience:
            self._round_small()

    def _round_small(self) -> None:
        """Rounds the waiting small elements, many at a time: a call of NumPy costs more than a few elements."""
        places, small = (np.concatenate(parts) for parts in zip(*self._small))
        self._small, self._waiting, self._patience = [], 0, _MANY
        values = np.abs(small).astype(np.float64)
        nonzero = values > 0
        self._zeros += int(values.size - np.count_nonzero(nonzero))
        places, small, values = places[nonzero], small[nonzero], values[nonzero]
        if values.size:
            self._min_nonzero = min(self._min_nonzero, float(values.min()))
            fp16 = self._small_rounded(values)
            underflow = int(np.count_nonzero(fp16 == 0))
            self._underflow += underflow
            self._subnormal += int(np.count_nonzero(fp16 < SMALLEST_NORMAL)) - underflow
            self._note_errors(places, small, fp16)

    def _small_rounded(self, values: np.ndarray) -> np.ndarray:
        """As `rounded`: below 2^-14 fp16 values are the multiples of 2^-24; processors convert to them slowly."""
        fp16: np.ndarray = (np.rint if self._policy.rounding == "nearest" else np.floor)(values * 2.0**24) * 2.0**-24
        if self._policy.subnormals == "flushed":
            fp16[fp16 < SMALLEST_NORMAL] = 0
        return fp16

    def _normal_may_matter(self) -> bool:
        """Whether a normal element of the next chunk can have the largest error, or be the first with it."""
        if self._error == self._largest_error and self._lossiest is not None:
            return self._lossiest.index >= self._count
        return self._error < self._largest_error

    def _add_normal(self, chunk: np.ndarray, magnitude: np.ndarray, start: int, end: int) -> None:
        """Looks for a larger error among elements [start, end) of the chunk. Overwrites their magnitudes.

        x = s * 2^e with 1 <= s < 2 has a relative error of at most 2^-11 / s, truncated 2^-10 / s. So once an error is
        known, only an s close to 1 can exceed it. Until then only elements with a bit set that fp16 lacks have an error
        at all.
        """
        integer, fraction, lost = _BITS[chunk.dtype]
        bits = magnitude[start:end].view(integer)
        if self._error == 0:
            bits &= bits.dtype.type(2**lost - 1)
            chosen = bits != 0
        else:
            bits &= bits.dtype.type(2**fraction - 1)
            # The second factor allows for the rounding of the quotient.
            limit = min(self._step / self._error * (1 + 2.0**-40) - 1, 1.0)
            chosen = bits <= bits.dtype.type(limit * 2.0**fraction)
        positions = np.flatnonzero(chosen) + start
        values = np.abs(chunk[positions]).astype(np.float64)
        normal = (values >= SMALLEST_NORMAL) & (values < OVERFLOW)
        positions, values = positions[normal], values[normal]
        if values.size:
            fp16 = rounded(values, self._policy)
            self._note_errors(positions + self._count, chunk[positions], fp16)

    def _note_errors(self, places: np.ndarray, elements: np.ndarray, fp16: np.ndarray) -> None:
        """Keeps the largest relative error and its element. fp16: the magnitudes of the elements, rounded."""
        values = np.abs(elements).astype(np.float64)
        # Exact except for the division: an fp16 value that is not 0 is within a factor of 2 of the element.
        errors = np.abs(fp16 - values) / values
        best = int(np.argmax(errors))
        error = float(errors[best])
        candidate = Worst(int(places[best]), float(elements[best]))
        earlier = self._lossiest is not None and candidate.index < self._lossiest.index
        if error > self._error or (error == self._error and earlier):
            self._error, self._lossiest = error, candidate


def stats_of(arrays: Sequence[np.ndarray], policy: HalfPolicy = IEEE) -> List[BlobStats]:
    """The stats of each of these small arrays (1-D, not empty, float16 to float64), all computed together.

    A net has hundreds of blobs of a few elements each, and a call of NumPy costs more than a few elements.
    policy: how the device rounds.
    """
    starts = np.cumsum([0, *(array.size for array in arrays[:-1])])
    with np.errstate(all="ignore"):
        values = np.concatenate([array.astype(np.float64) for array in arrays])
        finite, magnitude = np.isfinite(values), np.abs(values)
        fp16 = rounded(magnitude, policy)
        nonzero = finite & (magnitude > 0)
        errors = np.where(nonzero & (magnitude < OVERFLOW), np.abs(fp16 - magnitude) / magnitude, 0.0)
        # All others are normal, and belong to no class that is counted.
        odd = np.flatnonzero(~((magnitude >= SMALLEST_NORMAL) & (magnitude <= LARGEST)))
        classes = classify(magnitude[odd], fp16[odd])
    magnitude[~finite] = 0
    highest, error = np.maximum.reduceat(magnitude, starts), np.maximum.reduceat(errors, starts)
    smallest = np.minimum.reduceat(np.where(nonzero, magnitude, np.inf), starts)
    owners = np.searchsorted(starts, odd, "right") - 1
    counts = [np.bincount(owners[chosen], minlength=len(arrays)).tolist() for chosen in classes.values()]
    stats: List[BlobStats] = []
    for array, start, high, low, loss, sums in zip(
        arrays, starts.tolist(), highest.tolist(), smallest.tolist(), error.tolist(), zip(*counts)
    ):
        part = slice(start, start + array.size)
        counted = dict(zip(CLASSES, sums))
        first: Optional[int] = None
        if counted["nan"] or counted["inf"]:
            first = int(np.argmin(finite[part]))
        elif counted["overflow"] or loss:
            first = int(np.argmax((magnitude if counted["overflow"] else errors)[part]))
        worst = None if first is None else Worst(first, float(array[first]))
        lowest = low if low < np.inf else 0.0
        stats.append(BlobStats(array.size, high, lowest, **counted, worst=worst, max_relative_error=loss))
    return stats
