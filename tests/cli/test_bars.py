"""How far long work has come: a bar on a terminal, elsewhere a line now and then, and nothing for quick work."""

from __future__ import annotations

import io
import sys
import types
from typing import Any, ClassVar, Iterator, List, Tuple, Type

import pytest

from caffe_fuse import progress
from caffe_fuse.cli import bars, printing
from caffe_fuse.cli.bars import Bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Bar:
    """Replaces tqdm: where each bar began, how many steps it saw, and of how many."""

    made: ClassVar[List[List[Any]]] = []

    def __init__(self, *, total: int, initial: int, unit: str, **_options: Any) -> None:
        self.counts: List[Any] = [unit, initial, 0, total, "open"]
        self.made.append(self.counts)

    def update(self) -> None:
        self.counts[2] += 1

    def clear(self) -> None:
        sys.stderr.write("<clear>")

    def close(self) -> None:
        self.counts[4] = "closed"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> List[float]:
    now = [100.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: now[0])
    module = types.ModuleType("tqdm")
    module.tqdm = Bar  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm", module)
    monkeypatch.setattr(Bar, "made", [])
    return now


def on(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def worked(clock: List[float], steps: int, seconds: float) -> Iterator[Tuple[int, str]]:
    for step in progress.steps(range(steps), steps, "layer"):
        clock[0] += seconds
        yield step, "done"


def test_a_terminal_gets_a_bar_after_two_seconds(clock: List[float], monkeypatch: pytest.MonkeyPatch) -> None:
    on(Terminal(), monkeypatch)
    with progress.shown(Bars()):
        assert 4 == len(list(worked(clock, 4, 0.4)))
        assert [] == Bar.made
        assert 4 == len(list(worked(clock, 4, 0.4)))
    assert [["layer", 1, 3, 4, "closed"]] == Bar.made


def test_a_line_that_is_printed_does_not_mix_with_the_bar(clock: List[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = on(Terminal(), monkeypatch)
    with progress.shown(Bars()):
        for _ in worked(clock, 3, 2):
            printing.warn("w")
    printing.warn("w")
    line = "caffe-fuse: warning: w\n"
    assert f"{line}<clear>{line}<clear>{line}{line}" == stream.getvalue()


def test_elsewhere_there_is_a_line_now_and_then(clock: List[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = on(io.StringIO(), monkeypatch)
    with progress.shown(Bars()):
        assert 9 == len(list(worked(clock, 9, 1)))
        assert "" == stream.getvalue()
        assert 1000 == len(list(worked(clock, 1000, 1)))
    lines = [f"caffe-fuse: layer {seconds - 8:,} of 1,000 after {seconds} s" for seconds in (10, 20, 40, 80, 160)]
    assert [*lines, *stream.getvalue().splitlines()[5:]] == stream.getvalue().splitlines()
    assert 7 == len(stream.getvalue().splitlines())
    assert [] == Bar.made


def test_of_loops_inside_one_another_the_outer_one_is_shown(
    clock: List[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    on(Terminal(), monkeypatch)
    with progress.shown(Bars()):
        for _ in progress.steps(range(2), 2, "model"):
            assert 5 == len(list(worked(clock, 5, 1)))
    assert ["model"] == [made[0] for made in Bar.made]


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_quiet_command_shows_nothing(
    clock: List[float], monkeypatch: pytest.MonkeyPatch, stream: Type[io.StringIO]
) -> None:
    shown = on(stream(), monkeypatch)
    with progress.shown(Bars(quiet=True)):
        assert 100 == len(list(worked(clock, 100, 1)))
    assert ([], "") == (Bar.made, shown.getvalue())


def test_a_bar_of_tqdm_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = on(Terminal(), monkeypatch)
    monkeypatch.setattr(bars, "BAR_AFTER", 0.0)
    monkeypatch.setattr(bars, "BAR_DELAY", 0.0)
    with progress.shown(Bars()):
        for step in progress.steps(range(3), 3, "batch"):
            assert step in (0, 1, 2)
    assert "/3" in stream.getvalue()
    assert "" == stream.getvalue().rsplit("\r", 1)[1]
