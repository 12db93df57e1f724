"""Processes do tasks in any order; what dies loses its own task and no other."""

from __future__ import annotations

import operator
import os
import signal
import time
from typing import Any, List, Tuple

import pytest

from caffe_fuse.many import engines
from caffe_fuse.many.engines import Lost, Processes, in_turn

# A child imports no test: what it calls is of the standard library.
SUM = operator.add


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_task_is_done_once(count: int) -> None:
    tasks = [(number, 100) for number in range(7)]
    assert [(n, n + 100) for n in range(7)] == sorted(Processes(count, []).results(SUM, tasks))


def test_no_more_than_the_count_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most = [0], [0]
    start, receive = Processes._started, engines._received

    def started(self: Processes, *given: Any) -> Any:
        alive[0] += 1
        most[0] = max(most[0], alive[0])
        return start(self, *given)

    def received(*given: Any) -> Any:
        alive[0] -= 1
        return receive(*given)

    monkeypatch.setattr(Processes, "_started", started)
    monkeypatch.setattr(engines, "_received", received)
    assert 6 == len(list(Processes(3, []).results(SUM, [(1, 1)] * 6)))
    assert 3 == most[0]


@pytest.mark.parametrize(
    ("call", "argument", "reason"),
    [
        (signal.raise_signal, signal.SIGKILL, "its process was ended by SIGKILL: is the memory too small?"),
        (signal.raise_signal, signal.SIGTERM, "its process was ended by SIGTERM"),
        (os._exit, 7, "its process ended with status 7"),
    ],
)
def test_a_process_that_dies_loses_its_task_alone(call: Any, argument: int, reason: str) -> None:
    found = dict(Processes(2, []).results(eval_call, [(call, argument), (SUM, 1, 2), (SUM, 3, 4)]))
    assert {0: Lost(reason), 1: 3, 2: 7} == found


def eval_call(function: Any, *given: Any) -> Any:
    return function(*given)


def test_what_is_not_waited_for_ends() -> None:
    results = Processes(2, []).results(eval_call, [(SUM, 1, 1), (time.sleep, 40)])
    assert (0, 2) == next(results)
    begun = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 20


def test_results_come_in_turn_as_soon_as_they_can() -> None:
    given: List[int] = []

    def results() -> Any:
        for place in (2, 0, 1, 3):
            given.append(place)
            yield place, str(place)

    seen: List[Tuple[int, int]] = [(place, len(given)) for place, _ in in_turn(results())]
    assert [(0, 2), (1, 3), (2, 3), (3, 4)] == seen
