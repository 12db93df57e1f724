"""Runs one function over many items in a few threads: NumPy and system calls release Python's lock."""

from __future__ import annotations

import os
import threading
from itertools import islice
from typing import Callable, Iterable, List, TypeVar

from . import progress

Item = TypeVar("Item")

WORKERS = min(4, os.cpu_count() or 1)  # each has a few buffers of one chunk


def each(function: Callable[[Item], object], items: Iterable[Item], unit: str = "blob") -> None:
    """Calls function(item) once for each item, in any order; the caller's thread works too. unit: as in progress.steps.

    The first exception, or an interrupt, stops the other threads after their current item, and is raised.
    """
    listed = list(items)
    pending = iter(progress.steps(listed, len(listed), unit))
    failures: List[BaseException] = []
    lock = threading.Lock()

    def work() -> None:
        while not failures:
            with lock:
                taken = list(islice(pending, 1))
            if not taken:
                return
            try:
                function(taken[0])
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(WORKERS, len(listed)) - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
