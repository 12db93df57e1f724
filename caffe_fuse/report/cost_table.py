"""The table of what a fold saves, for the terminal, the page and `show`."""

from __future__ import annotations

import os
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..net.cost import Cost, Savings

UNKNOWN = "unknown"
HEAD = ("before", "after", "changed before", "changed after")


class CostRow(NamedTuple):
    """cells: of the net before and after, and of the layers that changed, before and after."""

    title: str
    cells: Tuple[str, ...]


def cost_rows(saved: Savings, files: Sequence[Sequence[str]] = (), every_type: bool = False) -> List[CostRow]:
    """The rows of the table. files: the paths of the net's files before, and after; none if nothing was written.

    every_type: whether layer types are listed whose number stays the same.
    """
    rows = [CostRow("layers", _counts(sum(cost.layers.values()) for cost in saved))]
    for name in dict.fromkeys(name for cost in saved for name in cost.layers):
        if every_type or saved.before.layers.get(name) != saved.after.layers.get(name):
            rows.append(CostRow(f"  {name}", _counts(cost.layers.get(name, 0) for cost in saved)))
    rows.append(CostRow("parameters", _counts(cost.parameters for cost in saved)))
    rows.append(CostRow("multiply-adds", _counts(cost.multiply_adds for cost in saved)))
    rows.append(CostRow("activations, float32", _memory(saved, 1)))
    rows.append(CostRow("activations, fp16", _memory(saved, 2)))
    if files:
        rows.append(CostRow("files", tuple(_megabytes(sum(map(os.path.getsize, paths))) for paths in files)))
    return rows


def cost_lines(title: str, rows: Sequence[CostRow], most: Optional[int] = None) -> List[str]:
    """The table in text; its first line begins with `title`.

    most: how wide it may be; where it is wider, only the nets are compared, not the layers that changed.
    """
    table = [CostRow(title, HEAD), *rows]
    width = max(len(row.title) for row in rows)
    columns = [max(len(row.cells[place]) for row in table if place < len(row.cells)) for place in range(len(HEAD))]
    while most is not None and width + 2 + sum(columns) + 2 * len(columns) > most and len(columns) > 2:
        columns = columns[:-2]
    lines = []
    for indent, row in zip(("", *["  "] * len(rows)), table):
        cells = (cell.rjust(column) for cell, column in zip(row.cells, columns))
        lines.append("  ".join([(indent + row.title).ljust(width + 2), *cells]))
    return lines


def _counts(counts: Iterable[Optional[int]]) -> Tuple[str, ...]:
    return tuple(UNKNOWN if count is None else f"{count:,}" for count in counts)


def _memory(costs: Sequence[Cost], share: int) -> Tuple[str, ...]:
    """share: by what the size of a float32 is divided."""
    sizes = (cost.activation_bytes for cost in costs)
    return tuple(UNKNOWN if size is None else _megabytes(size // share) for size in sizes)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
