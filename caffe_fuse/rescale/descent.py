"""Coordinate descent for the powers of two that bring the elements of some blobs into the range of half precision.

Each element of a blob has two groups: the power of its row's group is added to its exponent, that of its column's group
subtracted. Its cost depends on its exponent alone. So one group after the other is set to its best power while the
others stay, until nothing changes; the cost of every power comes from the group's histogram of exponents. A kernel, the
elements that one row and one column have in common, is represented by its largest element.
"""

from __future__ import annotations

from functools import cached_property
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from ..blobs.blob import CHUNK, Blob
from ..blobs.kernels import Kernels
from ..blobs.scaled import Layout

# Exponents as of frexp, 2^(e-1) <= |x| < 2^e, but after rounding to fp16: 65520, which overflows, counts as 2^16.
HIGHEST = 16
LOWEST = -9  # the smallest normal fp16 value has -13: this leaves room for the smaller elements of a kernel
LOWEST_FLUSHED = -4  # where subnormals become 0 and not just coarse, more of the smaller elements need room
REACH = 100  # exponents are clipped to +-REACH: enough for all of float32 but its smallest subnormals
LIMIT = 60  # of a group's power; float32 would allow more
LOST = 15  # powers of two below the lowest: nothing more can be lost, and dead channels do not influence others
# An element is ignored if it is this many powers of two smaller than the largest of its row and of its column.
NEGLIGIBLE = 20
OVERFLOW = 2.0**30  # outweighs any number of lost bits
NOTHING = -128  # the exponent of 0
SWEEPS = 12  # most nets settle in two to four
ENOUGH = 0.02  # a step must reduce the cost of its blobs by this share

EXPONENTS = np.arange(-REACH, REACH + 1)
_BINS = EXPONENTS.size
_HALF_STEP = 1 << 12  # of fp16, in the bits of a float32
_INFINITY = 0x7F800000  # the bits of a float32


def cost(exponents: np.ndarray, lowest: int = LOWEST) -> np.ndarray:
    """The cost of elements with these exponents: the square of how far each is outside the range."""
    above = np.maximum(exponents - HIGHEST, 0).astype(np.float64)
    below = np.clip(lowest - exponents, 0, LOST).astype(np.float64)
    costs: np.ndarray = OVERFLOW * above**2 + below**2
    return costs


class Side(NamedTuple):
    """The groups of the channels of a layout. Group 0 stays as it is."""

    layout: Layout
    groups: np.ndarray


class Block:
    """A blob and its groups. weights: for a bias, the block of the weights, whose rows help to decide what matters.

    kept: whether the exponents may stay in memory, one byte per kernel; otherwise the blob is read again each time.
    """

    def __init__(
        self,
        blob: Blob,
        rows: Side,
        columns: Optional[Side] = None,
        weights: Optional[Block] = None,
        *,
        kept: bool = True,
    ) -> None:
        self.blob = blob
        self.kernels = Kernels.of(rows.layout, None if columns is None else columns.layout)
        self.rows = rows.groups
        self.columns = np.zeros(1, np.int64) if columns is None else columns.groups
        self._weights = weights
        self._kept = kept
        self._is_cleared = False
        self.has_columns = columns is not None
        self.groups = np.union1d(self.rows, self.columns)

    def histogram(self, powers: np.ndarray) -> np.ndarray:
        """How many elements have each of EXPONENTS if the groups have these powers."""
        counts = np.zeros(_BINS + 1, np.int64)
        for _, bins in self._bins(powers):
            counts += np.bincount(bins.reshape(-1), minlength=_BINS + 1)
        histogram: np.ndarray = counts[:_BINS] * self.kernels.size
        return histogram

    def count(self, powers: np.ndarray, places: np.ndarray, target: np.ndarray) -> None:
        """Adds to `target` how many elements of some groups have each exponent: in rows, and in columns.

        target: (2, groups + 1, _BINS + 1); the last of each axis is unused. places: by group, its index in `target`,
        the last one for a group that is not wanted. An element with the same group for its row and its column does not
        change with it, and is left out.
        """
        last = target.shape[1] - 1
        sides = (self.rows, self.columns)
        wanted = [side for side in range(1 + self.has_columns) if (places[sides[side]] < last).any()]
        for first, bins in self._bins(powers) if wanted else ():
            if self._is_coupled:
                rows, columns = (self._spread(side == 0, sides[side], first, bins) for side in range(2))
                np.putmask(bins, rows == columns, _BINS)
            for side in wanted:
                indices = self._spread(side == 0, places[sides[side]] * (_BINS + 1), first, bins) + bins
                counts = np.bincount(indices.reshape(-1), minlength=target[side].size)
                counts *= self.kernels.size
                target[side] += counts.reshape(target[side].shape)

    def _spread(self, of_rows: bool, values: np.ndarray, first: int, bins: np.ndarray) -> np.ndarray:
        return self.kernels.spread(of_rows, values, first, len(bins))

    def _bins(self, powers: np.ndarray) -> Iterator[Tuple[int, np.ndarray]]:
        """For some lines at a time, the bin of each kernel's exponent; _BINS if it is negligible."""
        gains = [powers[groups].astype(np.int16) for groups in (self.rows, self.columns)]
        for first, exponents in self._weighty():
            bins = exponents + self._spread(True, gains[0], first, exponents)
            if self.has_columns:
                bins -= self._spread(False, gains[1], first, exponents)
            np.clip(bins, -REACH, REACH, out=bins)
            bins += REACH
            np.putmask(bins, exponents == NOTHING, _BINS)
            yield first, bins

    def _weighty(self) -> Iterator[Tuple[int, np.ndarray]]:
        """The exponents; NOTHING also where they are negligible."""
        for first, exponents in self._exponents():
            if not self._is_cleared:
                np.putmask(exponents, exponents < self._least(first, exponents), NOTHING)
            yield first, exponents
        self._is_cleared = self._kept  # kept exponents were changed in place

    def _least(self, first: int, exponents: np.ndarray) -> np.ndarray:
        """The least exponents of kernels that are not negligible."""
        largest = self.largest[0]
        if self._weights is not None:
            largest = np.maximum(largest, self._weights.largest[0])
        least = self._spread(True, largest, first, exponents)
        if self.has_columns:
            least = np.minimum(least, self._spread(False, self.largest[1], first, exponents))
        bound: np.ndarray = np.maximum(least - np.int16(NEGLIGIBLE), NOTHING + 1).astype(np.int8)
        return bound

    @cached_property
    def _is_coupled(self) -> bool:
        """Whether an element may have the same group for its row and its column."""
        return self.has_columns and bool(np.intersect1d(self.rows, self.columns).any())

    @cached_property
    def largest(self) -> Sequence[np.ndarray]:
        """The largest exponent of each row, and of each column, int16. Reads the blob."""
        sides = [np.full(self.kernels.channels(rows), NOTHING, np.int16) for rows in (True, False)]
        for first, exponents in self._exponents():
            for side, largest in enumerate(sides):
                self.kernels.reduce(np.maximum, side == 0, exponents.astype(np.int16), first, largest)
        return sides

    def _exponents(self) -> Iterator[Tuple[int, np.ndarray]]:
        """For some lines at a time, the largest exponent of each kernel, int8; NOTHING where all is 0."""
        if not self._kept:
            yield from self._read()
            return
        lines = max(1, CHUNK // self.kernels.places)
        for first in range(0, len(self._stored), lines):
            yield first, self._stored[first : first + lines]

    @cached_property
    def _stored(self) -> np.ndarray:
        return np.concatenate([exponents for _, exponents in self._read()])

    def _read(self) -> Iterator[Tuple[int, np.ndarray]]:
        for first, values in self.kernels.slabs(self.blob):
            with np.errstate(over="ignore"):
                bits = np.abs(values.astype(np.float32, copy=False)).view(np.int32)
            np.putmask(bits, bits >= _INFINITY, 0)
            bits = self.kernels.combined(np.maximum, bits)
            exponents = ((bits + _HALF_STEP) >> 23) - 126
            np.clip(exponents, -REACH, REACH, out=exponents)
            np.putmask(exponents, bits == 0, NOTHING)
            yield first, exponents.astype(np.int8)


class Descent:
    """Improves the powers of the groups; what is computed of the blocks is kept from one call to the next."""

    def __init__(self, blocks: Sequence[Block], powers: np.ndarray, lowest: int = LOWEST) -> None:
        self.powers = powers
        self._lowest = lowest
        self._prices = cost(EXPONENTS, lowest)
        self._costs: Dict[Block, float] = {}
        self._settled: Dict[bytes, Set[Block]] = {}  # families, and their blocks, until one of those changes
        self._blocks = blocks

    @cached_property
    def _touching(self) -> Dict[int, List[Block]]:
        """The blocks by their groups; of most nets none is asked for."""
        touching: Dict[int, List[Block]] = {}
        for block in self._blocks:
            for group in block.groups.tolist():
                touching.setdefault(group, []).append(block)
        return touching

    def settled(self, families: Sequence[np.ndarray]) -> np.ndarray:
        """The powers after these groups have changed, each family together, as long as that reduces the cost."""
        for _ in range(SWEEPS):
            changes = [self._improve(family) for family in families]
            if not any(changes):
                break
        return self.powers

    def _improve(self, family: np.ndarray) -> bool:
        """Moves the groups of a family to the best power of each; halves the step while the cost would not fall.

        Returns whether the powers changed.
        """
        if family.tobytes() in self._settled:
            return False
        touching = list(dict.fromkeys(block for group in family.tolist() for block in self._touching.get(group, ())))
        self._settled[family.tobytes()] = set(touching)
        step, gain = self._best(family, touching)
        before, powers = sum(map(self._cost, touching)), self.powers
        while step.any() and gain > before * ENOUGH:
            self.powers = powers.copy()
            self.powers[family] += step
            costs = {block: self._price(block) for block in touching}
            if sum(costs.values()) < before * (1 - ENOUGH):
                self._costs.update(costs)
                self._settled = {key: blocks for key, blocks in self._settled.items() if blocks.isdisjoint(touching)}
                return True
            self.powers = powers
            step = np.fix(step / 2).astype(np.int64)
        return False

    def _cost(self, block: Block) -> float:
        if block not in self._costs:
            self._costs[block] = self._price(block)
        return self._costs[block]

    def _price(self, block: Block) -> float:
        return float(block.histogram(self.powers) @ self._prices)

    def _best(self, family: np.ndarray, touching: Sequence[Block]) -> Tuple[np.ndarray, float]:
        """The best step of each group, of equal ones the one that ends nearest to 0; and the gain of all together."""
        places = np.full(self.powers.size, family.size)
        places[family] = np.arange(family.size)
        counts = np.zeros((2, family.size + 1, _BINS + 1), np.int64)
        for block in touching:
            block.count(self.powers, places, counts)
        bins = np.flatnonzero(counts[:, :-1, :-1].any(axis=(0, 1)))
        rows, columns = counts[:, :-1, bins].astype(np.float64)
        steps = np.arange(-LIMIT, LIMIT + 1)
        up = cost(EXPONENTS[bins, np.newaxis] + steps, self._lowest)
        costs = rows @ up + columns @ up[:, ::-1]
        goals = self.powers[family, np.newaxis] + steps
        costs[np.abs(goals) > LIMIT] = np.inf
        least = costs.min(axis=1, keepdims=True)
        best = np.argmin(np.where(costs <= least * (1 + 2.0**-40), np.abs(goals), 4 * LIMIT), axis=1)
        return steps[best], float((costs[:, LIMIT] - least[:, 0]).sum())
