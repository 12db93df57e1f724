"""Files that appear complete and together, or not at all.

Each output is written to a temporary file in its own folder. `commit` brings them to the disk, removes the old last
file and renames in order, so that a kill at any moment never leaves a new net beside old weights.
"""

from __future__ import annotations

import os
import threading
from io import FileIO
from types import TracebackType
from typing import List, NamedTuple, Optional, Sequence, Type

from ..errors import InputError, SystemFailure


class Pending(NamedTuple):
    """An output on its way: `file` is open for reading and writing at `temporary`."""

    file: FileIO
    temporary: str
    target: str

    def sync_soon(self) -> None:
        """Begins to bring what is written to the disk; `commit` waits for the rest, and tells of failures."""
        # Opened anew: each opening is told of a failure once (fsync(2), since Linux 4.13), so `commit` is told too.
        handle = os.open(self.temporary, os.O_RDWR)
        threading.Thread(target=_sync_quietly, args=(handle,), daemon=True).start()

    def write_all(self, content: bytes) -> None:
        """The whole file at once. Raises SystemFailure."""
        try:
            self.write(0, memoryview(content))
        except OSError as error:
            raise failure(error, self.target) from error

    def write(self, offset: int, data: memoryview) -> None:
        """Puts bytes at their place; several threads may. Raises OSError."""
        while len(data):
            done = os.pwrite(self.file.fileno(), data, offset)
            data, offset = data[done:], offset + done


class Written(NamedTuple):
    """A file that is going to be called `path`; until then its bytes are at `temporary`."""

    path: str
    temporary: str


class Outputs:
    """Context manager: what was created and not committed is gone when it ends.

    inputs: paths that no output may be, not even through a link.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self._inputs = tuple(inputs)
        self._pending: List[Pending] = []

    def create(self, target: str) -> Pending:
        """Raises InputError for a target that is an input or no regular file, SystemFailure if the system refuses."""
        self._check(target)
        # Through links, or the link would be replaced: /dev/stdout is one, too.
        place = os.path.realpath(target)
        if place in {pending.target for pending in self._pending}:
            raise InputError("two outputs would be this file", where=target, remedy="give each a name of its own")
        # A name of our own: importing tempfile takes longer than folding a small net.
        name = f".caffe_fuse.{os.getpid()}.{len(self._pending)}.{os.urandom(4).hex()}.tmp"
        temporary = os.path.join(os.path.dirname(place), name)
        try:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise failure(error, target) from error
        pending = Pending(FileIO(handle, "r+"), temporary, place)
        self._pending.append(pending)
        return pending

    def discard(self, unwanted: Sequence[Pending]) -> None:
        """These do not appear."""
        for pending in unwanted:
            pending.file.close()
            try:
                os.unlink(pending.temporary)
            except OSError:
                pass  # the folder itself may be gone; the first error is the one to tell
            self._pending.remove(pending)

    def commit(self) -> None:
        """Renames all outputs to their targets, the last one last. Raises SystemFailure."""
        if not self._pending:
            return
        mode = 0o666 & ~_umask()
        for pending in self._pending:
            try:
                os.fchmod(pending.file.fileno(), mode)
                os.fsync(pending.file.fileno())
                pending.file.close()
            except OSError as error:
                raise failure(error, pending.target) from error
        last = self._pending[-1].target
        try:
            if len(self._pending) > 1 and os.path.lexists(last):
                os.unlink(last)
            while self._pending:
                os.replace(self._pending[0].temporary, self._pending[0].target)
                self._pending.pop(0)
            _sync_folder(os.path.dirname(last) or ".")
        except OSError as error:
            raise failure(error, last) from error

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.discard(list(self._pending))

    def _check(self, target: str) -> None:
        check_folder(target)
        if os.path.exists(target) and not os.path.isfile(target):
            kind = "a folder" if os.path.isdir(target) else "no regular file"
            raise InputError(f"this output is {kind}", where=target, remedy="choose another name")
        for path in self._inputs:
            if os.path.exists(target) and os.path.exists(path) and os.path.samefile(target, path):
                raise InputError(f"this output is the input {path}", where=target, remedy="choose another name")


def check_folder(target: str) -> None:
    """Raises InputError for an output whose folder does not exist."""
    # Of the name as it is given, too: realpath takes `new/` for a file called `new`.
    for folder in (os.path.join(os.getcwd(), os.path.dirname(target)), os.path.dirname(os.path.realpath(target))):
        if not os.path.isdir(folder):
            raise InputError(
                f"the folder {folder} does not exist", where=target, remedy="create it, or write to another one"
            )


def failure(error: OSError, path: str) -> SystemFailure:
    """The system's refusal as one of our errors."""
    return SystemFailure(
        f"cannot write: {error.strerror or error}",
        where=path,
        remedy="nothing was changed; make room, or write to another folder",
    )


def _sync_quietly(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
