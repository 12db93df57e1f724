"""The command `caffe-fuse`: its exit status, and what it says when it fails."""

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
    """The process `caffe-fuse`. It ends without tearing the interpreter down: that takes as long as reading a net."""
    interrupts.end_the_command()
    gc.disable()  # for so short a process, looking for garbage costs more than it frees
    try:
        status = main()
    except KeyboardInterrupt:  # a second one, while the first was told
        status = INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass  # whoever read it is gone
    os._exit(status)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs one command. Returns the exit status: 0 done, 1 not safe, 2 unusable input, 3 failure, 130 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the terminal may not have the letters of a layer's name
    try:
        given = sys.argv[1:] if arguments is None else arguments
        options = parsed(given)
        command: Callable[[argparse.Namespace], int] = getattr(commands, f"run_{options.command}")
        return command(options)
    except (Exception, KeyboardInterrupt) as error:
        return _told(error)
    finally:
        interrupts.settled()


def _told(error: BaseException) -> int:
    """Says what went wrong, and gives its status."""
    # A library may turn the interrupt into an error of its own: numpy, while it is imported, into ImportError.
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
