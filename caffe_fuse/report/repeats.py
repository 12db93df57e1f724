"""Finds what repeats in a list: blocks of a net that only differ in their names."""

from __future__ import annotations

from typing import Dict, Hashable, List, NamedTuple, Sequence

LONGEST = 64  # items of a block


class Block(NamedTuple):
    """`size` items from `first` on, which come `times` times in a row."""

    first: int
    size: int
    times: int

    @property
    def end(self) -> int:
        return self.first + self.size * self.times

    @property
    def lines(self) -> int:
        """How many lines print it: its items once, and one that says how often they come again."""
        return self.size + (self.times > 1)


def blocks(items: Sequence[Hashable]) -> List[Block]:
    """The items as blocks, in their order, so that they are printed in the fewest lines."""
    count = len(items)
    lines = [0] * (count + 1)  # for the items from each on
    best: Dict[int, Block] = {}
    alike = [0] * (LONGEST + 1)  # by size: how many items from here on equal those `size` after them
    for first in reversed(range(count)):
        tried = [Block(first, 1, 1)]
        for size in range(1, min(LONGEST, count - first - 1) + 1):
            alike[size] = alike[size] + 1 if items[first] == items[first + size] else 0
            if alike[size] >= size:
                tried.append(Block(first, size, 1 + alike[size] // size))
        best[first] = min(tried, key=lambda block: block.lines + lines[block.end])
        lines[first] = best[first].lines + lines[best[first].end]
    found: List[Block] = []
    first = 0
    while first < count:
        found.append(best[first])
        first = best[first].end
    return found
