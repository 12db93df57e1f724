"""Files that appear complete and together, or not at all.

Each output is written to an unnamed file in its folder (O_TMPFILE), of which a kill leaves nothing; where the system
has none, to a file with a temporary name. `commit` syncs all files to the disk, renames old files out of the way, the
last one first, and gives the new ones their names in order: a kill at any moment never leaves a new net next to old
weights. If the system refuses meanwhile, the old files get their names back. A signal takes effect before or after.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from io import FileIO
from types import TracebackType
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple, Type

from ..errors import InputError, SystemFailure
from . import interrupts

# Waits for another run that names its files in the same folder, which takes milliseconds. A process that locks the
# folder for longer is not one of ours, but may be waiting for us: `flock DIR caffe-fuse fuse ... -o DIR/`.
_TRIES = 600


class Pending(NamedTuple):
    """An output not yet committed, open for reading and writing. name: its temporary path; None if it is unnamed."""

    file: FileIO
    target: str
    name: Optional[str]

    @property
    def temporary(self) -> str:
        """A path at which its bytes can be read until `commit`."""
        return self.name or f"/proc/self/fd/{self.file.fileno()}"

    def sync_soon(self) -> None:
        """Starts to sync what is written to the disk; `commit` waits for the rest, and reports failures."""
        # Opened again: each open file sees a failure once (fsync(2), since Linux 4.13), so `commit` sees it, too.
        handle = os.open(self.temporary, os.O_RDWR)
        threading.Thread(target=_sync_quietly, args=(handle,), daemon=True).start()

    def write_all(self, content: bytes) -> None:
        """Writes the whole file at once. Raises SystemFailure."""
        try:
            self.write(0, memoryview(content))
        except OSError as error:
            raise failure(error, self.target) from error

    def write(self, offset: int, data: memoryview) -> None:
        """Writes bytes at an offset; several threads may do so at once. Raises OSError."""
        while len(data):
            done = os.pwrite(self.file.fileno(), data, offset)
            data, offset = data[done:], offset + done


class Written(NamedTuple):
    """A file that will be called `path`; until then its bytes are at `temporary`."""

    path: str
    temporary: str


class Outputs:
    """Context manager that removes, at its end, the files that were created but not committed.

    inputs: paths that no output may be, not even through a link.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self._inputs = tuple(inputs)
        self._pending: List[Pending] = []

    def create(self, target: str) -> Pending:
        """A new output file.

        Raises InputError for a target that is an input or not a regular file, SystemFailure if the system refuses.
        """
        self._check(target)
        # Resolved, or a link would be replaced: /dev/stdout is one, too.
        place = os.path.realpath(target)
        if place in {pending.target for pending in self._pending}:
            raise InputError("two outputs are the same file", where=target, remedy="give each a name of its own")
        with interrupts.deferred():
            try:
                handle, name = _opened(place)
            except OSError as error:
                raise failure(error, target) from error
            self._pending.append(Pending(FileIO(handle, "r+"), place, name))
        return self._pending[-1]

    def discard(self, unwanted: Sequence[Pending]) -> None:
        """Removes these outputs before they appear."""
        with interrupts.deferred():
            for pending in unwanted:
                pending.file.close()
                if pending.name is not None:
                    _unlink(pending.name)
                self._pending.remove(pending)

    def commit(self) -> None:
        """Gives all outputs their names, in order. Raises SystemFailure, and then all files are as before.

        A signal that arrives before that raises what its handler raises, and nothing appears; one that arrives
        meanwhile takes effect when all files are in place.
        """
        if not self._pending:
            return
        mode = 0o666 & ~_umask()
        for pending in self._pending:
            try:
                os.fchmod(pending.file.fileno(), mode)
                os.fsync(pending.file.fileno())
            except OSError as error:
                raise failure(error, pending.target) from error
        folders = list(dict.fromkeys(os.path.dirname(pending.target) for pending in self._pending))
        with _alone(folders[-1]), interrupts.deferred():
            _give_names(self._pending)
            interrupts.settled()
            for pending in self._pending:
                pending.file.close()
            self._pending.clear()
        for folder in folders:
            _sync_folder(folder)

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
            kind = "a folder" if os.path.isdir(target) else "not a regular file"
            raise InputError(f"this output is {kind}", where=target, remedy="choose another name")
        for path in self._inputs:
            if os.path.exists(target) and os.path.exists(path) and os.path.samefile(target, path):
                raise InputError(f"this output is the input {path}", where=target, remedy="choose another name")


def check_folder(target: str) -> None:
    """Raises InputError for an output whose folder does not exist."""
    # Also the folder of the name as given: realpath takes `new/` for a file called `new`.
    for folder in (os.path.join(os.getcwd(), os.path.dirname(target)), os.path.dirname(os.path.realpath(target))):
        if not os.path.isdir(folder):
            raise InputError(
                f"the folder {folder} does not exist", where=target, remedy="create it, or write to another one"
            )


def failure(error: OSError, path: str) -> SystemFailure:
    """The SystemFailure for an OSError."""
    return SystemFailure(
        f"cannot write: {error.strerror or error}",
        where=path,
        remedy="nothing was changed; make room, or write to another folder",
    )


def _opened(target: str) -> Tuple[int, Optional[str]]:
    """A new file in the folder of `target`, and its temporary name if it needs one. Raises OSError."""
    with suppress(OSError, AttributeError):  # without O_TMPFILE or /proc
        handle = os.open(os.path.dirname(target), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.stat(f"/proc/self/fd/{handle}")
            return handle, None
        except OSError:
            os.close(handle)
    name = _temporary_name(target)
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), name


def _temporary_name(target: str) -> str:
    """A free name in the folder of `target`. Importing tempfile takes longer than folding a small net."""
    return os.path.join(os.path.dirname(target), f".caffe_fuse.{os.getpid()}.{os.urandom(4).hex()}.tmp")


def _give_names(files: Sequence[Pending]) -> None:
    """Gives all files their names, or none. Raises SystemFailure."""
    aside: List[Tuple[str, str]] = []
    named: List[str] = []
    target = ""
    try:
        for target in [pending.target for pending in reversed(files) if len(files) > 1]:
            if os.path.lexists(target):
                kept = _temporary_name(target)
                os.rename(target, kept)
                aside.append((kept, target))
        for pending in files:
            target = pending.target
            _give_name(pending)
            named.append(target)
    except OSError as error:
        for path in named:
            _unlink(path)
        for kept, path in reversed(aside):
            with suppress(OSError):
                os.rename(kept, path)
        raise failure(error, target) from error
    for kept, _ in aside:
        _unlink(kept)


def _give_name(pending: Pending) -> None:
    """Gives a file its name atomically, even if another file has it. Raises OSError."""
    name = pending.name
    if name is None:
        try:
            _link(pending.temporary, pending.target)
            return
        except FileExistsError:
            name = _temporary_name(pending.target)
            _link(pending.temporary, name)
    try:
        os.replace(name, pending.target)
    except OSError:
        _unlink(name)
        raise


def _link(path: str, name: str) -> None:
    """Links an open file to a name: linkat(2) follows its /proc link, but os.link only asks for that with dir_fd."""
    folder = os.open(os.path.dirname(name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.link(path, os.path.basename(name), dst_dir_fd=folder)
    finally:
        os.close(folder)


def _unlink(path: str) -> None:
    """Removes a name if it can: the folder may be gone, and the first error is the one to report."""
    with suppress(OSError):
        os.unlink(path)


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Runs that write the same files name them one after another, so that no pair is mixed."""
    import fcntl

    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise failure(error, folder) from error
    try:
        for _ in range(_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.005)
            except OSError:
                break  # a network file system without locks
            else:
                break
        yield
    finally:
        os.close(handle)


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
    """Syncs a folder if it can: the files are complete, and a name that a power cut could lose is no failure."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
