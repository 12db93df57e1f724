"""The kernels of a layer's weights: a kernel is the weights between one input channel and one output channel.

However a layer stores them, the kernels form matrices of one size, one for each group. A line of a matrix is contiguous
in the blob: it holds all kernels of one input channel or of one output channel.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional

import numpy as np

from .blob import Blob
from .scaled import Layout


class Slab(NamedTuple):
    """Some whole lines of a blob, and the index of the first. weights: (lines, places * size)."""

    first: int
    weights: np.ndarray


class Kernels(NamedTuple):
    """`groups` matrices of `lines` x `places` kernels of `size` weights.

    rows_are_lines: whether the lines are the rows, or the places are.
    """

    groups: int
    lines: int
    places: int
    size: int
    rows_are_lines: bool

    @classmethod
    def of(cls, rows: Layout, columns: Optional[Layout] = None) -> Kernels:
        """The kernels of a blob with this layout of its output channels and, if it has any, of its input channels."""
        if columns is None:
            return cls(1, rows.channels, 1, rows.kernel, True)
        rows_are_lines = rows.groups == rows.inputs == 1 and rows.kernel >= columns.kernel
        line, place = (rows, columns) if rows_are_lines else (columns, rows)
        places = line.kernel // place.kernel
        groups = place.channels // places
        return cls(groups, line.channels // groups, places, place.kernel, rows_are_lines)

    def slabs(self, blob: Blob) -> Iterator[Slab]:
        """All lines of a blob, about one chunk at a time; each slab is valid only until the next one is taken."""
        length = self.places * self.size
        first, rest = 0, np.empty(0, blob.dtype)
        for chunk in blob.chunks():
            joined = np.concatenate([rest, chunk]) if rest.size else chunk
            count = joined.size // length
            if count:
                yield Slab(first, joined[: count * length].reshape(count, length))
            first += count
            rest = joined[count * length :].copy()

    def spread(self, of_rows: bool, values: np.ndarray, first: int, count: int) -> np.ndarray:
        """The values of the rows or of the columns, for each kernel of `count` lines; one axis may have length 1."""
        if of_rows == self.rows_are_lines:
            return values[first : first + count, np.newaxis]
        matrices = values.reshape(self.groups, self.places)
        return matrices if self.groups == 1 else matrices[self._group(first, count)]

    def reduce(self, operation: np.ufunc, to_rows: bool, kernels: np.ndarray, first: int, target: np.ndarray) -> None:
        """Combines the values of the kernels of some lines into `target`, by row or by column, with the operation."""
        count = len(kernels)
        if to_rows == self.rows_are_lines:
            lines = target[first : first + count]
            operation(lines, operation.reduce(kernels, axis=1), out=lines)
            return
        matrices = target.reshape(self.groups, self.places)
        groups = self._group(first, count)
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        matrices[groups[starts]] = operation(matrices[groups[starts]], operation.reduceat(kernels, starts, axis=0))

    def channels(self, rows: bool) -> int:
        return self.groups * (self.lines if rows == self.rows_are_lines else self.places)

    def combined(self, operation: np.ufunc, weights: np.ndarray) -> np.ndarray:
        """One value for each kernel of a slab: its weights combined with the operation."""
        kernels = weights.reshape(len(weights), self.places, self.size)
        result = kernels[:, :, 0].copy()
        for place in range(1, self.size):  # faster than reducing so short an axis
            operation(result, kernels[:, :, place], out=result)
        return result

    def _group(self, first: int, count: int) -> np.ndarray:
        groups: np.ndarray = np.arange(first, first + count) // self.lines
        return groups
