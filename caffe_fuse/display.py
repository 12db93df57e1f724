"""How an object shows itself: a few lines at a prompt, and a table of the same facts in a notebook."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence, Tuple, Type, TypeVar

from .wording import shown

MOST_ROWS = 19  # below the title
LONGEST = 300  # characters of a text: a command stays whole, so that it can be copied; a prompt wraps the line

Class = TypeVar("Class")
Row = Tuple[str, str]


class Display(NamedTuple):
    """title: a line. rows: a label and a text each; a row without a label goes on with the one before."""

    title: str
    rows: Sequence[Row] = ()

    @property
    def text(self) -> str:
        """The lines, aligned."""
        width = max((len(label) for label, _ in self._shown), default=0)
        lines = [f"  {label:<{width}}  {shown(text)}" for label, text in self._shown]
        return "\n".join([shown(_cut(self.title)), *lines])

    @property
    def html(self) -> str:
        """A table with the title as its caption."""
        from html import escape

        cell = '<td style="text-align:left">'
        rows = "".join(f"<tr>{cell}{escape(label)}</td>{cell}{escape(text)}</td></tr>" for label, text in self._shown)
        caption = f'<caption style="text-align:left"><b>{escape(_cut(self.title))}</b></caption>'
        return f"<table>{caption}{rows}</table>"

    @property
    def _shown(self) -> Sequence[Row]:
        rows = [(label, _cut(text)) for label, text in self.rows]
        hidden = len(rows) - MOST_ROWS
        return rows if hidden <= 0 else [*rows[: MOST_ROWS - 1], ("", f"... and {hidden + 1} more")]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def displayed(cls: Type[Class]) -> Type[Class]:
    """A class decorator: `repr`, and what a notebook shows, are those of the class's `_display()`."""
    methods: Any = cls
    methods.__repr__ = lambda self: self._display().text
    methods._repr_html_ = lambda self: self._display().html
    return cls


def several(label: str, texts: Sequence[str], most: int = 3) -> List[Row]:
    """The first texts, each in a row; the label stands at the first one."""
    rows = [("" if place else label, text) for place, text in enumerate(texts[:most])]
    hidden = len(texts) - most
    return rows if hidden <= 0 else [*rows, ("", f"... and {hidden} more")]
