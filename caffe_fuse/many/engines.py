"""Who does the work: processes on this machine. An engine calls a function for each task, in any order.

A function and its tasks are pickled. A process that dies is the loss of its task alone.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from multiprocessing.connection import Connection, wait
from typing import Any, Callable, Dict, Iterable, Iterator, NamedTuple, Protocol, Sequence, Tuple

from ..files import interrupts

Task = Tuple[Any, ...]


class Lost(NamedTuple):
    """In place of a result: why there is none."""

    reason: str


class Engine(Protocol):
    @property
    def width(self) -> int:
        """How many tasks are worked on at once."""

    def results(self, function: Callable[..., Any], tasks: Sequence[Task]) -> Iterator[Tuple[int, Any]]:
        """The place of each task with its result, or Lost, as they come."""


class Processes:
    """A process for each task, `count` at a time: what one needs and leaves in memory is no matter to the next.

    modules: what the function needs; where the system allows it, they are loaded once for all processes.
    """

    def __init__(self, count: int, modules: Sequence[str]) -> None:
        self.width = count
        forking = "forkserver" in multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if forking else "spawn")
        if forking:
            from multiprocessing import forkserver

            self._context.set_forkserver_preload(list(modules))
            forkserver.ensure_running()  # it loads them while the caller goes on

    def results(self, function: Callable[..., Any], tasks: Sequence[Task]) -> Iterator[Tuple[int, Any]]:
        waiting = deque(enumerate(tasks))
        running: Dict[Any, Tuple[int, Any]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.width:
                    place, task = waiting.popleft()
                    pipe, process = self._started(function, task)
                    running[pipe] = place, process
                for ready in wait(list(running)):
                    place, process = running[ready]
                    result = _received(ready, process)
                    del running[ready]
                    yield place, result
        finally:
            for _, process in running.values():
                process.terminate()
            for pipe, (_, process) in running.items():
                process.join()
                pipe.close()

    def _started(self, function: Callable[..., Any], task: Task) -> Tuple[Connection, Any]:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(theirs, function, task), daemon=True)
        process.start()
        theirs.close()
        return ours, process


def _work(pipe: Connection, function: Callable[..., Any], task: Task) -> None:
    """The life of a process. A key on the terminal reaches the caller, too, who ends this process with SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.end_the_command()
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    gc.disable()  # in a short process, garbage collection costs more than it frees
    try:
        result = function(*task)
        interrupts.settled()
        pipe.send(result)
    except BrokenPipeError:
        pass  # the caller is no more
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _end_with_the_caller() -> None:
    """A caller that was killed ended nobody."""
    caller = multiprocessing.parent_process()
    if caller is not None:
        wait([caller.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _received(pipe: Any, process: Any) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        process.join()
        return Lost(_fate(process.exitcode))
    finally:
        process.join()
        pipe.close()


def _fate(exit_code: int) -> str:
    if exit_code >= 0:
        return f"its process ended with status {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"its process was ended by {name}{': is the memory too small?' if name == 'SIGKILL' else ''}"


def in_turn(results: Iterable[Tuple[int, Any]]) -> Iterator[Tuple[int, Any]]:
    """The results in the order of the tasks, each as soon as those before it are there."""
    early: Dict[int, Any] = {}
    turn = 0
    for place, result in results:
        early[place] = result
        while turn in early:
            yield turn, early.pop(turn)
            turn += 1
