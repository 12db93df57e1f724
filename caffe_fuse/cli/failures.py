"""What the command says, and its exit status, when it fails."""

from __future__ import annotations

import os

from ..errors import CaffeFuseError
from ..files import interrupts
from ..many.outcome import Outcome

INTERRUPTED = 130


class Failed(Exception):
    """A part of the work failed elsewhere."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def failed(error: BaseException) -> Outcome:
    """The outcome of a command that raised this; called while it is handled."""
    # A library may turn an interrupt into another error: numpy raises ImportError while it is imported.
    if isinstance(error, KeyboardInterrupt) or interrupts.came():
        return Outcome(INTERRUPTED, errors=("interrupted",))
    if isinstance(error, Failed):
        return error.outcome
    if isinstance(error, CaffeFuseError):
        return Outcome(error.exit_status, errors=error.lines)
    if isinstance(error, OSError):
        return Outcome(3, errors=(f"the system refused: {error}",))
    if isinstance(error, MemoryError):
        return Outcome(3, errors=(f"the memory is too small: {error}",))
    return Outcome(3, errors=(f"internal error; please report {_saved_traceback()}",))


def _saved_traceback() -> str:
    import tempfile
    import traceback

    handle, path = tempfile.mkstemp(prefix="caffe_fuse_", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return path
