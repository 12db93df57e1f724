"""What is done already: the entries of models on the disk, so that an interrupted run loses none of them.

While models are worked on, each entry is a line of F.json.partial, in the order in which they came. At the end F.json
has all of them in the order of the jobs, also a line each, and F.json.partial goes.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Type

from .. import __version__
from ..errors import SystemFailure
from ..files.outputs import Outputs, failure
from .entry import Finished, digest, sha256
from .jobs import Job
from .outcome import Summary
from .pairs import Left


class _Place(NamedTuple):
    """Where a line is: entries may be large, and there may be many. size: with its end."""

    path: str
    start: int
    size: int

    def read(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.start)
            return file.read(self.size).rstrip(b",\n")


class Records:
    """The entries of jobs, for the report `path`.

    resume: go on from what an earlier run left; without it, nothing of that counts. Raises SystemFailure.
    """

    def __init__(self, path: str, resume: bool) -> None:
        self._path, self._partial = path, f"{path}.partial"
        self._earlier: Dict[Tuple[str, str], List[_Place]] = {}
        if resume:
            for name in (path, self._partial):
                for place, entry in _entries(name):
                    self._earlier.setdefault((entry["net"], entry["weights"]), []).append(place)
        self._places: Dict[int, _Place] = {}
        self._file = self._opened(resume)

    def _opened(self, resume: bool) -> BinaryIO:
        try:
            file = open(self._partial, "r+b" if resume and os.path.exists(self._partial) else "w+b")  # noqa: SIM115
            # A run that was killed may have left half a line.
            file.truncate(sum(place.size for place, _ in _entries(self._partial)))
            file.seek(0, os.SEEK_END)
            return file
        except OSError as error:
            raise failure(error, self._partial) from error

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._file.close()

    def done(self, turn: int, job: Job) -> Optional[Finished]:
        """The job as an earlier run finished it, if nothing that it depends on and nothing of it has changed since."""
        for place in reversed(self._earlier.get((job.net, job.weights), [])):
            entry = json.loads(place.read())
            if entry["status"] < 3 and _still_holds(job, entry):
                self._places[turn] = place
                return _as_finished(entry)
        return None

    def add(self, turn: int, text: str) -> None:
        """Keeps the entry of a job, on the disk when this returns. Raises SystemFailure."""
        line = text.encode() + b"\n"
        try:
            start = self._file.tell()
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            what = f"cannot write: {error.strerror or error}"
            remedy = "make room; the models before this one are kept, and --resume goes on from there"
            raise SystemFailure(what, where=self._partial, remedy=remedy) from error
        self._places[turn] = _Place(self._partial, start, len(line))

    def complete(self, command: str, left: Sequence[Left], status: int, inputs: Sequence[str]) -> None:
        """Writes the report, with all entries. Raises InputError if it is an input, SystemFailure."""
        head = {"schema": 1, "tool": {"name": "caffe_fuse", "version": __version__}, "command": command}
        foot = {"not_paired": [each._asdict() for each in left], "status": status}
        with Outputs(inputs) as outputs:
            pending = outputs.create(self._path)
            offset = 0
            try:
                for piece in self._pieces(head, foot):
                    pending.write(offset, memoryview(piece))
                    offset += len(piece)
            except OSError as error:
                raise failure(error, self._path) from error
            outputs.commit()
        with suppress(OSError):
            os.unlink(self._partial)

    def _pieces(self, head: Dict[str, Any], foot: Dict[str, Any]) -> Iterator[bytes]:
        yield json.dumps(head)[:-1].encode() + b', "models": [\n'
        for turn in sorted(self._places):
            end = b",\n" if turn < len(self._places) - 1 else b"\n"
            yield self._places[turn].read() + end
        yield b"], " + json.dumps(foot)[1:].encode() + b"\n"


def _entries(path: str) -> Iterator[Tuple[_Place, Dict[str, Any]]]:
    """The entries in a file, a line each; other lines, and half a line at the end, are none."""
    with suppress(OSError), open(path, "rb") as file:
        start = 0
        for line in file:
            entry = _entry(line)
            if entry is not None and line.endswith(b"\n"):
                yield _Place(path, start, len(line)), entry
            start += len(line)


def _entry(line: bytes) -> Optional[Dict[str, Any]]:
    try:
        entry = json.loads(line.rstrip(b",\n"))
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"net", "weights", "digest", "outputs"} <= entry.keys() else None


def _still_holds(job: Job, entry: Dict[str, Any]) -> bool:
    inputs = {path: sha256(path) for path in job.inputs}
    outputs: Dict[str, str] = entry["outputs"]
    return bool(entry["digest"] == digest(job, inputs)) and all(sha256(path) == was for path, was in outputs.items())


def _as_finished(entry: Dict[str, Any]) -> Finished:
    summary = None if entry["verdict"] is None else Summary(entry["verdict"], entry["counts"], tuple(entry["next"]))
    errors = () if entry["error"] is None else tuple(entry["error"].split("\n"))
    return Finished(entry["status"], summary, ("done before",), (), errors)
