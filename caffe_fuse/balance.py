"""Which powers of two bring the numbers of some blobs into the range of half precision.

Each element of a blob has two groups: that of its row gains k powers of two, that of its column takes k away. What an
element costs depends on its exponent alone and is convex in it, so one group after the other is set to its best k while
the others stand, until nothing changes. The cost of all k of a group is looked up in its histogram of exponents.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .blob import Blob, Layout

# Exponents as frexp has them, 2^(e-1) <= |x| < 2^e, after a factor that makes 65520, which overflows, 2^16.
HIGHEST = 16
LOWEST = -13  # of the smallest normal half
TO_POWER = 65536 / 65520
REACH = 100  # exponents beyond are taken for these: all of float32 but its smallest subnormals
LIMIT = 60  # of a group: float32 has room for more
# An element is no matter that is so many powers of two smaller than the largest of its row and of its column.
NEGLIGIBLE = 20
OVERFLOW = 2.0**30  # goes before any number of lost bits
SWEEPS = 12  # nets settle in two to four

_EXPONENTS = np.arange(-REACH, REACH + 1)
_BINS = _EXPONENTS.size


def cost(exponents: np.ndarray) -> np.ndarray:
    """The cost of an element: the square of the powers of two by which it lies outside normal halves."""
    above = np.maximum(exponents - HIGHEST, 0).astype(np.float64)
    below = np.maximum(LOWEST - exponents, 0).astype(np.float64)
    costs: np.ndarray = OVERFLOW * above**2 + below**2
    return costs


class Side(NamedTuple):
    """The groups of the channels of a layout. Group 0 stays as it is."""

    layout: Layout
    groups: np.ndarray

    def of(self, indices: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.groups[self.layout.channel(indices)]
        return found


class Histograms(NamedTuple):
    """Counts of exponents for each group (groups, bins): in its rows, in its columns; and the cost of all."""

    rows: np.ndarray
    columns: np.ndarray
    cost: float


class Block:
    """A blob and its groups. beside: the blob whose rows tell which elements of this one matter, if not itself."""

    def __init__(self, blob: Blob, rows: Side, columns: Optional[Side] = None, beside: Optional[Block] = None) -> None:
        self.blob = blob
        self.rows = rows
        self.columns = columns
        self.beside = beside
        sides = [rows.groups] if columns is None else [rows.groups, columns.groups]
        self.groups = np.unique(np.concatenate([np.zeros(1, np.int64), *sides]))
        self._largest: Optional[Tuple[np.ndarray, np.ndarray]] = None

    def scan(self, powers: np.ndarray) -> Histograms:
        """The histograms where the groups have these powers. Reads the blob."""
        counts = np.zeros((2, self.groups.size * _BINS))
        total = np.zeros(_BINS)
        for row, column, exponents in self._elements():
            shifted = np.clip(exponents + powers[row] - powers[column], -REACH, REACH) + REACH
            total += np.bincount(shifted, minlength=_BINS)
            moves = row != column
            for place, groups in enumerate((row, column)):
                inside = np.searchsorted(self.groups, groups[moves])
                counts[place] += np.bincount(inside * _BINS + shifted[moves], minlength=counts[place].size)
        rows, columns = counts.reshape(2, self.groups.size, _BINS)
        return Histograms(rows, columns, float(total @ cost(_EXPONENTS)))

    def _elements(self) -> Iterable[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Row group, column group and exponent of the elements that matter, chunk by chunk."""
        position = 0
        for chunk in self.blob.chunks():
            places = np.flatnonzero(np.isfinite(chunk) & (chunk != 0))
            exponents = np.frexp(np.abs(chunk[places]).astype(np.float64) * TO_POWER)[1].astype(np.int64)
            places += position
            position += chunk.size
            matters = exponents >= self._threshold(places)
            places, exponents = places[matters], exponents[matters]
            row = self.rows.of(places)
            yield row, np.zeros_like(row) if self.columns is None else self.columns.of(places), exponents

    def _threshold(self, places: np.ndarray) -> np.ndarray:
        rows, columns = self.largest
        if self.beside is not None:
            rows = np.maximum(rows, self.beside.largest[0])
        least: np.ndarray = rows[self.rows.layout.channel(places)] - NEGLIGIBLE
        if self.columns is not None:
            least = np.minimum(least, columns[self.columns.layout.channel(places)] - NEGLIGIBLE)
        return least

    @property
    def largest(self) -> Tuple[np.ndarray, np.ndarray]:
        """The largest exponent of each row and of each column of the blob as it is."""
        if self._largest is None:
            sides = [side or self.rows for side in (self.rows, self.columns)]
            found = [np.full(side.layout.channels, -2 * REACH) for side in sides]
            position = 0
            for chunk in self.blob.chunks():
                finite = np.where(np.isfinite(chunk), np.abs(chunk), 0).astype(np.float64)
                exponents = np.where(finite > 0, np.frexp(finite * TO_POWER)[1], -2 * REACH)
                places = np.arange(position, position + chunk.size)
                for side, largest in zip(sides, found):
                    np.maximum.at(largest, side.layout.channel(places), exponents)
                position += chunk.size
            self._largest = (found[0], found[1])
        return self._largest


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
        step = self._best(family, touching)
        before, powers = self._cost(touching), self.powers
        while step.any():
            self.powers = powers.copy()
            self.powers[family] += step
            scans = {block: block.scan(self.powers) for block in touching}
            if sum(scan.cost for scan in scans.values()) < before:
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

    def _best(self, family: np.ndarray, touching: Sequence[Block]) -> np.ndarray:
        """The step of each group, of equals the one that ends nearest to 0."""
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
        chosen: np.ndarray = steps[best]
        return chosen
