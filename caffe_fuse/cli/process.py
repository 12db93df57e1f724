"""The process `caffe-fuse`: its exit status, and its messages when it fails."""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys
from typing import Callable, NoReturn, Optional, Sequence

from ..errors import CaffeFuseError
from ..files import interrupts
from . import commands
from .arguments import parsed
from .printing import complain

INTERRUPTED = 130


def console() -> NoReturn:
    """Runs the command and exits without finalizing the interpreter, which would take as long as reading a net."""
    interrupts.end_the_command()
    gc.disable()  # in a short process, garbage collection costs more than it frees
    try:
        status = main()
    except KeyboardInterrupt:  # a second one, while the first was reported
        status = INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass  # the pipe was closed
    os._exit(status)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs one command. Returns the exit status: 0 done, 1 not safe, 2 unusable input, 3 failure, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the terminal's encoding may lack letters of a layer's name
    try:
        given = sys.argv[1:] if arguments is None else arguments
        options = parsed(given)
        command: Callable[[argparse.Namespace], int] = getattr(commands, f"run_{options.command}")
        return command(options)
    except (Exception, KeyboardInterrupt) as error:
        return _reported(error)
    finally:
        interrupts.settled()


def _reported(error: BaseException) -> int:
    """Prints the error, and returns its exit status."""
    # A library may turn an interrupt into another error: numpy raises ImportError while it is imported.
    if isinstance(error, KeyboardInterrupt) or interrupts.came():
        complain("interrupted")
        return INTERRUPTED
    if isinstance(error, CaffeFuseError):
        complain(*error.lines)
        return error.exit_status
    if isinstance(error, OSError):
        complain(f"the system refused: {error}")
    elif isinstance(error, MemoryError):
        complain(f"the memory is too small: {error}")
    else:
        complain(f"internal error; please report {_saved_traceback()}")
    return 3


def _saved_traceback() -> str:
    import tempfile
    import traceback

    handle, path = tempfile.mkstemp(prefix="caffe_fuse_", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return path
