"""Runs the command in this process with a time limit, as a fuzzer needs it, and keeps what it printed."""

from __future__ import annotations

import contextlib
import io
import re
import signal
from pathlib import Path
from types import FrameType
from typing import Iterator, NamedTuple, Optional, Sequence

from caffe_fuse.cli import process as cli


class TooLong(BaseException):
    """The time is up. Not an Exception: the command must not treat it as an internal error."""


class Attempt(NamedTuple):
    """The result of a command. status: None if the time was up. traceback: of an internal error."""

    status: Optional[int]
    out: str
    err: str
    traceback: str = ""


def attempt(arguments: Sequence[str], seconds: float = 20) -> Attempt:
    """Runs `caffe-fuse ARGUMENTS`. Only in the main thread."""
    out, err = io.StringIO(), io.StringIO()
    status: Optional[int] = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            with at_most(seconds):
                status = cli.main(arguments)
        except TooLong:
            pass
        except SystemExit as end:  # of argparse, for --help
            status = int(end.code or 0)
    return Attempt(status, out.getvalue(), err.getvalue(), _traceback(err.getvalue()))


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    def end(_signal: int, _frame: Optional[FrameType]) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _traceback(err: str) -> str:
    """Returns the traceback in the file that an internal error names, and removes the file."""
    found = re.search(r"internal error; please report (.+)", err)
    if found is None:
        return ""
    path = Path(found.group(1))
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text
