"""All output to the terminal, line by line: no name, path or text of a file can end a line or set a colour."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Callable, Iterable, Optional, Sequence, TextIO

from ..files import interrupts
from ..many.outcome import Outcome
from ..wording import VERDICT, shown

_COLOURS = {
    "safe": 32,
    "the same": 32,
    "NOT": 31,
    "the nets DIFFER": 31,
}  # by the start of the verdict; else yellow
_before: Optional[Callable[[], object]] = None


def before_a_line(call: Optional[Callable[[], object]]) -> None:
    """From now on `call` comes before what is printed: it removes what stands where the line goes."""
    global _before
    _before = call


def outcome(found: Outcome, document_first: bool = False) -> None:
    """Prints the warnings, the error and the report of a command. Raises OSError as `report` does.

    document_first: stdout gets the JSON report alone, for the next program of a pipe, and stderr the other one.
    """
    for warning in found.warnings:
        warn(warning)
    if found.errors:
        complain(*found.errors)
    if document_first and found.document is not None:
        _to_stdout(found.document().splitlines())
        with suppress(OSError):
            _write(sys.stderr, _for_stream(sys.stderr, found.lines))
    elif found.lines:
        report(found.lines)


def report(lines: Sequence[str]) -> None:
    """Prints to stdout, on a terminal with a coloured verdict. Raises OSError if no output has been written yet."""
    _to_stdout(_for_stream(sys.stdout, lines))


def _for_stream(stream: Optional[TextIO], lines: Sequence[str]) -> Sequence[str]:
    printed = [shown(line) for line in lines]
    if stream is not None and stream.isatty() and not _plain():
        return [_coloured(line) for line in printed]
    return printed


def _to_stdout(lines: Sequence[str]) -> None:
    try:
        _write(sys.stdout, lines)
    except BrokenPipeError:
        interrupts.hush()  # the pipe was closed (`show | head`); Python would complain again at exit
    except OSError as error:
        if not interrupts.is_settled():
            raise
        interrupts.hush()
        warn(f"the report cannot be printed: {error.strerror}; the files are complete")


def terminal_width() -> Optional[int]:
    """The columns of the terminal that stdout is; None if it is none: then nothing need fit."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def warn(message: str) -> None:
    _to_stderr("warning", [message])


def note(message: str) -> None:
    """Prints what is neither: how far the command has come."""
    with suppress(OSError):
        _write(sys.stderr, [shown(f"caffe-fuse: {message}")])


def complain(message: str, *more: str) -> None:
    """Prints an error; `more` are lines that show the place."""
    _to_stderr("error", [message, *more])


def _to_stderr(kind: str, lines: Sequence[str]) -> None:
    with suppress(OSError):  # there is nowhere else to report it
        _write(sys.stderr, [shown(line) for line in (f"caffe-fuse: {kind}: {lines[0]}", *lines[1:])])


def _plain() -> bool:
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def _coloured(line: str) -> str:
    if not line.startswith(VERDICT):
        return line
    verdict = line[len(VERDICT) :]
    colour = next((code for start, code in _COLOURS.items() if verdict.startswith(start)), 33)
    return f"{VERDICT}\033[{colour}m{verdict}\033[0m"


def _write(stream: Optional[TextIO], lines: Iterable[str]) -> None:
    """Writes lines. stream: None if the process was started without it (`2>&-`)."""
    if stream is not None:
        if _before is not None:
            _before()
        stream.write("".join(f"{line}\n" for line in lines))
        stream.flush()
