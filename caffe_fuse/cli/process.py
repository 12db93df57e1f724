"""The process `caffe-fuse`: one command, what it prints, and its exit status."""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys
from typing import Callable, NoReturn, Optional, Sequence

from .. import progress
from ..files import interrupts
from ..many.outcome import Outcome
from . import commands, printing
from .arguments import parsed
from .bars import Bars
from .failures import INTERRUPTED, failed
from .options import STDOUT
from .writing import folders_made


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
        options = parsed(sys.argv[1:] if arguments is None else arguments)
        command = _command(options)
        with folders_made(options), progress.shown(Bars(quiet=getattr(options, "quiet", False))):
            outcome = command(options)
        printing.outcome(outcome, document_first=getattr(options, "report", None) == STDOUT)
    except (Exception, KeyboardInterrupt) as error:
        outcome = failed(error)
        printing.outcome(outcome)
    finally:
        interrupts.settled()
    return outcome.status


def _command(options: argparse.Namespace) -> Callable[[argparse.Namespace], Outcome]:
    if getattr(options, "many", False):
        from .several import run_many

        return run_many
    command: Callable[[argparse.Namespace], Outcome] = getattr(commands, f"run_{options.command}")
    return command
