"""Signals that end a run: at any moment, but not in the middle of a step that is whole or not at all."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_came, _settled = threading.Event(), threading.Event()


def end_the_command() -> None:
    """From now on a signal raises KeyboardInterrupt until `settled`; then it ends only what is still printed.

    For the process of a command, not for a library: signals that were ignored (nohup) stay so.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def came() -> bool:
    """Whether a signal has interrupted the command."""
    return _came.is_set()


def settled() -> None:
    """The outputs are there, or what went wrong is told: no interrupt changes the status any more."""
    _settled.set()


def is_settled() -> bool:
    return _settled.is_set()


def hush() -> None:
    """What is still printed goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@contextmanager
def deferred() -> Iterator[None]:
    """A signal that comes meanwhile takes effect at the end. Only the main thread is ever interrupted by one."""
    before: Dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        # None: a handler that is not Python's, and could not be set again.
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
    hush()  # whoever reads our pipe may keep us waiting; the status tells what was done
