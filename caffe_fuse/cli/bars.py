"""How far long work has come: a bar on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any, Iterable, Iterator

from . import printing

BAR_AFTER = 2.0  # seconds since the command began
BAR_DELAY = 0.2  # a loop that ends sooner shows no bar
LINE_AFTER = 10.0  # and then each time after twice as long


class Bars:
    """A progress.Display. Of loops inside one another the outermost is shown."""

    def __init__(self, quiet: bool = False) -> None:
        self._begun = time.monotonic()
        self._next_line = LINE_AFTER
        self._quiet = quiet
        self._busy = False

    def __call__(self, items: Iterable[Any], total: int, unit: str) -> Iterator[Any]:
        if self._busy or self._quiet:
            yield from items
            return
        self._busy = True
        show = self._bar if sys.stderr is not None and sys.stderr.isatty() else self._lines
        try:
            yield from show(items, total, unit)
        finally:
            self._busy = False

    def _bar(self, items: Iterable[Any], total: int, unit: str) -> Iterator[Any]:
        bar: Any = None
        try:
            for done, item in enumerate(items):
                if bar is None and self._seconds() >= BAR_AFTER:
                    from tqdm import tqdm  # takes as long to import as a small net takes to fold

                    bar = tqdm(total=total, initial=done, unit=unit, file=sys.stderr, leave=False, delay=BAR_DELAY)
                    printing.before_a_line(bar.clear)
                yield item
                if bar is not None:
                    bar.update()
        finally:
            if bar is not None:
                printing.before_a_line(None)
                bar.close()

    def _lines(self, items: Iterable[Any], total: int, unit: str) -> Iterator[Any]:
        for done, item in enumerate(items):
            seconds = self._seconds()
            if seconds >= self._next_line:
                printing.note(f"{unit} {done + 1:,} of {total:,} after {seconds:.0f} s")
                self._next_line = 2 * seconds
            yield item

    def _seconds(self) -> float:
        return time.monotonic() - self._begun
