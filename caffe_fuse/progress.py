"""How far long work has come: long loops pass here, and a caller may show them. A library call shows nothing."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Callable, Iterable, Iterator, Optional, TypeVar

Item = TypeVar("Item")

# Passes the items on as they are; gets their count, and what one of them is called.
Display = Callable[[Iterable[Any], int, str], Iterable[Any]]

_display: ContextVar[Optional[Display]] = ContextVar("display", default=None)


def steps(items: Iterable[Item], total: int, unit: str) -> Iterable[Item]:
    """The items, each a step of the work. unit: what one is called: "layer", "batch"."""
    display = _display.get()
    return items if display is None else display(items, total, unit)


@contextmanager
def shown(display: Display) -> Iterator[None]:
    """While it lasts, the steps that this thread takes pass through `display`."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)
