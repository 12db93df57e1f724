"""Which powers of two bring the numbers of some blobs into the range of half precision.

Each element of a blob has two groups: that of its row gains k powers of two, that of its column takes k away. What an
element costs depends on its exponent alone, so one group after the other is set to its best k while
the others stand, until nothing changes. The cost of all k of a group is looked up in its histogram of exponents. Of the
elements that one row and one column have in common, a kernel, the largest stands for all.
"""

from __future__ import annotations

from functools import cached_property
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .blob import Blob
from .scaled import Layout

# Exponents as frexp has them, 2^(e-1) <= |x| < 2^e, after a factor that makes 65520, which overflows, 2^16.
HIGHEST = 16
LOWEST = -9  # the smallest normal half has -13: this leaves room for the smaller elements of a kernel
TO_POWER = 65536 / 65520
REACH = 100  # exponents beyond are taken for these: all of float32 but its smallest subnormals
LIMIT = 60  # of a group: float32 has room for more
LOST = 15  # powers of two below LOWEST: there is nothing left to lose, and dead channels pull at no others
# An element is no matter that is so many powers of two smaller than the largest of its row and of its column.
NEGLIGIBLE = 20
OVERFLOW = 2.0**30  # goes before any number of lost bits
NOTHING = -1000  # the exponent of 0
SWEEPS = 12  # most nets settle in two to four
ENOUGH = 0.02  # a step has to take this share away from the cost of the blobs around it

_EXPONENTS = np.arange(-REACH, REACH + 1)
_BINS = _EXPONENTS.size


def cost(exponents: np.ndarray) -> np.ndarray:
    """The cost of an element: the square of the powers of two by which it lies outside its range."""
    above = np.maximum(exponents - HIGHEST, 0).astype(np.float64)
    below = np.clip(LOWEST - exponents, 0, LOST).astype(np.float64)
    costs: np.ndarray = OVERFLOW * above**2 + below**2
    return costs


class Side(NamedTuple):
    """The groups of the channels of a layout. Group 0 stays as it is."""

    layout: Layout
    groups: np.ndarray


class Histograms(NamedTuple):
    """Counts of exponents for each group (groups, bins): in its rows, in its columns; and the cost of all."""

    rows: np.ndarray
    columns: np.ndarray
    cost: float


class Block:
    """A blob and its groups. beside: the blob whose rows tell which elements of this one matter, if not itself."""

    def __init__(self, blob: Blob, rows: Side, columns: Optional[Side] = None, beside: Optional[Block] = None) -> None:
        self.blob = blob
        self.beside = beside
        self.kernel = rows.layout.kernel if columns is None else min(rows.layout.kernel, columns.layout.kernel)
        self.sides = [_without_kernel(side, self.kernel) for side in (rows, columns or rows)]
        self.has_columns = columns is not None
        sides = [side.groups for side in self.sides]
        self.groups = np.unique(np.concatenate([np.zeros(1, np.int64), *sides]))

    def scan(self, powers: np.ndarray) -> Histograms:
        """The histograms where the groups have these powers."""
        gains = [_spread(side.layout, powers[side.groups].astype(np.int16)) for side in self.sides]
        exponents = self.exponents + gains[0] - (gains[1] if self.has_columns else 0)
        bins = (np.clip(exponents, -REACH, REACH) + REACH).astype(np.int32)
        rows, columns = (self._counted(side, bins, self.matters) for side in self.sides)
        total = float(rows.sum(axis=0) @ cost(_EXPONENTS)) * self.kernel
        if self._is_coupled:
            moved = self.matters & (np.not_equal(*(_spread(side.layout, side.groups) for side in self.sides)))
            rows, columns = (self._counted(side, bins, moved) for side in self.sides)
        if not self.has_columns:
            columns = np.zeros_like(rows)
        return Histograms(rows * self.kernel, columns * self.kernel, total)

    def _counted(self, side: Side, bins: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """How many of the chosen elements each group has in each bin."""
        first = (np.searchsorted(self.groups, side.groups) * _BINS).astype(np.int32)
        places = _spread(side.layout, first) + bins
        if not chosen.all():
            places = places[chosen]
        return np.bincount(places, minlength=self.groups.size * _BINS).reshape(self.groups.size, _BINS)

    @cached_property
    def _is_coupled(self) -> bool:
        """Whether an element may have one group for its row and its column."""
        rows, columns = (side.groups for side in self.sides)
        return self.has_columns and bool(np.intersect1d(rows, columns).any())

    @cached_property
    def exponents(self) -> np.ndarray:
        """The largest exponent of each kernel, int16; NOTHING where all is 0. Reads the blob."""
        found = np.full(self.blob.count // self.kernel, NOTHING, np.int16)
        position = 0
        for chunk in self.blob.chunks():
            with np.errstate(invalid="ignore"):
                exponents = np.frexp(chunk.astype(np.float64) * TO_POWER)[1]
            exponents = np.where(np.isfinite(chunk) & (chunk != 0), exponents, NOTHING)
            first, last = position // self.kernel, (position + chunk.size - 1) // self.kernel
            starts = np.maximum(np.arange(first, last + 1) * self.kernel - position, 0)
            kernels = np.maximum.reduceat(exponents, starts)
            found[first : last + 1] = np.maximum(found[first : last + 1], kernels)
            position += chunk.size
        return found

    @cached_property
    def matters(self) -> np.ndarray:
        """Which kernels are not negligible."""
        rows, columns = (_spread(side.layout, largest) for side, largest in zip(self.sides, self.largest))
        if self.beside is not None:
            rows = np.maximum(rows, self.beside.largest[0])
        least = np.minimum(rows, columns) if self.has_columns else rows
        found: np.ndarray = (self.exponents > NOTHING) & (self.exponents >= least - NEGLIGIBLE)
        return found

    @cached_property
    def largest(self) -> Sequence[np.ndarray]:
        """The largest exponent of each row, and of each column."""
        return [self.exponents.reshape(side.layout).max(axis=(1, 3)).reshape(-1) for side in self.sides]


def _without_kernel(side: Side, kernel: int) -> Side:
    return Side(side.layout._replace(kernel=side.layout.kernel // kernel), side.groups)


def _spread(layout: Layout, values: np.ndarray) -> np.ndarray:
    """The value of its channel for each element of the layout."""
    return np.broadcast_to(values.reshape(layout.groups, 1, layout.outputs, 1), layout).reshape(-1)


def balanced(blocks: Sequence[Block], families: Sequence[np.ndarray], powers: np.ndarray) -> np.ndarray:
    """The powers of all groups after descent from `powers`. families: groups that may change, set together."""
    descent = _Descent(blocks, powers.copy())
    for _ in range(SWEEPS):
        changes = [descent.improve(family) for family in families]
        if not any(changes):
            break
    return descent.powers


class _Descent:
    def __init__(self, blocks: Sequence[Block], powers: np.ndarray) -> None:
        self.powers = powers
        self._scans: Dict[Block, Histograms] = {}
        self._touching: Dict[int, List[Block]] = {}
        for block in blocks:
            for group in block.groups.tolist():
                self._touching.setdefault(group, []).append(block)

    def improve(self, family: np.ndarray) -> bool:
        """Sets the groups of a family to what is best for each; less far, as long as that makes things worse."""
        touching = list(dict.fromkeys(block for group in family.tolist() for block in self._touching.get(group, ())))
        step, gain = self._best(family, touching)
        before, powers = self._cost(touching), self.powers
        while step.any() and gain > before * ENOUGH:
            self.powers = powers.copy()
            self.powers[family] += step
            scans = {block: block.scan(self.powers) for block in touching}
            if sum(scan.cost for scan in scans.values()) < before * (1 - ENOUGH):
                self._scans.update(scans)
                return True
            self.powers = powers
            step = np.fix(step / 2).astype(np.int64)
        return False

    def _cost(self, blocks: Sequence[Block]) -> float:
        return sum(self._scan(block).cost for block in blocks)

    def _scan(self, block: Block) -> Histograms:
        if block not in self._scans:
            self._scans[block] = block.scan(self.powers)
        return self._scans[block]

    def _best(self, family: np.ndarray, touching: Sequence[Block]) -> Tuple[np.ndarray, float]:
        """The step of each group, of equals the one that ends nearest to 0; and what all gain together."""
        rows, columns = np.zeros((2, family.size, _BINS))
        for block in touching:
            scan = self._scan(block)
            inside = np.flatnonzero(np.isin(family, block.groups))
            places = np.searchsorted(block.groups, family[inside])
            rows[inside] += scan.rows[places]
            columns[inside] += scan.columns[places]
        steps = np.arange(-LIMIT, LIMIT + 1)
        up = cost(_EXPONENTS[:, np.newaxis] + steps)
        costs = rows @ up + columns @ up[:, ::-1]
        goals = self.powers[family, np.newaxis] + steps
        costs[np.abs(goals) > LIMIT] = np.inf
        least = costs.min(axis=1, keepdims=True)
        best = np.argmin(np.where(costs <= least * (1 + 2.0**-40), np.abs(goals), 4 * LIMIT), axis=1)
        return steps[best], float((costs[:, LIMIT] - least[:, 0]).sum())
