"""What a command came to, as values: what it would print, and what is said of it among many."""

from __future__ import annotations

from typing import Callable, Mapping, NamedTuple, Optional, Tuple


class Summary(NamedTuple):
    """One line of a table. counts: by the name of their column. next: what to do."""

    verdict: str
    counts: Mapping[str, int]
    next: Tuple[str, ...] = ()


class Outcome(NamedTuple):
    """The result of one command.

    lines: the report. errors: the lines of the message, if it failed. summary, written (paths), document (renders the
    JSON report): only of a command that takes many models.
    """

    status: int
    lines: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()
    errors: Tuple[str, ...] = ()
    summary: Optional[Summary] = None
    written: Tuple[str, ...] = ()
    document: Optional[Callable[[], str]] = None
