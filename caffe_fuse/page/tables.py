"""What a table of a page is; parts.html draws it."""

from __future__ import annotations

from typing import AbstractSet, Callable, Dict, Hashable, Iterable, List, NamedTuple, Sequence, Tuple, TypeVar, Union

from ..wording import FEW

Item = TypeVar("Item")


class Column(NamedTuple):
    """meaning: explains a title that is not a common word. is_number: whether it is aligned as one."""

    title: str
    meaning: str = ""
    is_number: bool = False


class Cell(NamedTuple):
    """kind: its class, which has a colour. more: names that are folded away."""

    words: str
    kind: str = ""
    more: Tuple[str, ...] = ()


class Row(NamedTuple):
    cells: Sequence[Union[str, Cell]]
    link: str = ""


class Table(NamedTuple):
    """hidden: how many rows are left out."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    hidden: int = 0


def number(title: str, meaning: str = "") -> Column:
    return Column(title, meaning, True)


def without_empty(table: Table) -> Table:
    """The table without columns that are empty in every row."""
    kept = [place for place in range(len(table.columns)) if any(row.cells[place] for row in table.rows)]
    rows = [row._replace(cells=[row.cells[place] for place in kept]) for row in table.rows]
    return table._replace(columns=[table.columns[place] for place in kept], rows=rows)


def grouped(items: Iterable[Item], key: Callable[[Item], Hashable]) -> List[List[Item]]:
    groups: Dict[Hashable, List[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


def without_names(reason: str, known: AbstractSet[str]) -> str:
    """The reason with "..." for each name of a layer or blob."""
    words = ((word, word.strip(",:;()")) for word in reason.split(" "))
    return " ".join(word.replace(bare, "...") if bare in known else word for word, bare in words)


def reason_of(reasons: Sequence[str], known: AbstractSet[str]) -> str:
    """The one reason of a row; where those of its layers differ by names, without these."""
    return reasons[0] if len(set(reasons)) == 1 else without_names(reasons[0], known)


def names(names: Iterable[str]) -> Cell:
    """The first names; the others are folded away, however many share one reason."""
    distinct = tuple(dict.fromkeys(names))
    return Cell(", ".join(distinct[:FEW]), "", distinct[FEW:])
