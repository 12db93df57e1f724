"""Signals that end a run: at any moment, except within a step that must be atomic."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_came, _settled = threading.Event(), threading.Event()


def end_the_command() -> None:
    """From now on a signal raises KeyboardInterrupt until `settled`; after that it only ends the printing.

    For the process of a command, not for a library. Signals that were ignored (nohup) stay ignored.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def came() -> bool:
    """Whether a signal has interrupted the command."""
    return _came.is_set()


def settled() -> None:
    """The outputs are in place, or the error is reported: no interrupt changes the status any more."""
    _settled.set()


def is_settled() -> bool:
    return _settled.is_set()


def hush() -> None:
    """Discards what is still printed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@contextmanager
def deferred() -> Iterator[None]:
    """A signal that arrives meanwhile takes effect at the end. Signals only ever interrupt the main thread."""
    before: Dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # None: a handler that was not set from Python and could not be restored.
        before = {number: signal.getsignal(number) for number in _SIGNALS if signal.getsignal(number) is not None}
    late: List[int] = []
    try:
        for number in before:
            signal.signal(number, lambda number, frame: late.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in late:
        signal.raise_signal(number)


def _interrupt(number: int, frame: Any) -> None:
    if not _settled.is_set():
        _came.set()
        raise KeyboardInterrupt
    hush()  # the process that reads our pipe may keep us waiting; the status says what was done
