"""The table of many models: a line for each, and below it what to do."""

from __future__ import annotations

import re
from collections import Counter
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..wording import counted
from .outcome import Summary

_WIDEST = 37  # of a path: the table fits into 80 columns
_STATUSES = {0: "done", 1: "not safe", 2: "cannot be used", 3: "failed"}


class Row(NamedTuple):
    """A model in the table."""

    net: str
    status: int
    summary: Optional[Summary]


def table(rows: Sequence[Row], left: int) -> List[str]:
    """The lines of the table, and one that counts. left: how many files are part of no model."""
    names = list(dict.fromkeys(name for row in rows if row.summary is not None for name in row.summary.counts))
    cells = [["net", "verdict", *names], *([_shortened(row.net), _verdict(row), *_counts(row, names)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = [_aligned(each, widths) for each in cells]
    found = [lines[0]]
    for row, line in zip(rows, lines[1:]):
        following = row.summary.next if row.summary is not None else ()
        found += [line, *(f"  next     {step}" for step in following)]
    return [*found, _sum(rows) + (f"; {counted(left, 'file')} not paired" if left else "")]


def worst(statuses: Iterable[int]) -> int:
    return max(statuses, default=0)


def _counts(row: Row, names: Sequence[str]) -> List[str]:
    found: Dict[str, int] = {} if row.summary is None else dict(row.summary.counts)
    return [f"{found[name]:,}" if name in found else "" for name in names]


def _verdict(row: Row) -> str:
    """The verdict without its details."""
    if row.summary is None:
        return _STATUSES[row.status]
    return re.sub(r" in half precision|[:;] .*?(?=, and |$)", "", row.summary.verdict)


def _shortened(path: str) -> str:
    return path if len(path) <= _WIDEST else "..." + path[3 - _WIDEST :]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    pairs: List[Tuple[str, int]] = list(zip(cells, widths))
    words = [cell.ljust(width) for cell, width in pairs[:2]]
    numbers = [cell.rjust(width) for cell, width in pairs[2:]]
    return "  ".join([*words, *numbers]).rstrip()


def _sum(rows: Sequence[Row]) -> str:
    counts = Counter(row.status for row in rows)
    parts = ", ".join(f"{counts[status]:,} {word}" for status, word in _STATUSES.items() if counts[status])
    return f"{counted(len(rows), 'model')}: {parts}"
