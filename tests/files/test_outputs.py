"""Outputs appear together or not at all, whatever the system or a signal does at any call of a commit."""

from __future__ import annotations

import errno
import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

import pytest
import stress_outputs

from caffe_fuse.errors import SystemFailure
from caffe_fuse.files.outputs import Outputs

OLD, NEW = {"r": b"old r", "w": b"old w", "n": b"old n"}, {"r": b"new r", "w": b"new w", "n": b"new n"}


def refuse_nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses files without a name, as overlay, network and FAT file systems do."""
    real = os.open

    def refuse(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported", path)
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)


@pytest.fixture(params=["nameless", "named"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a folder for each of the two ways of writing."""
    if request.param == "named":
        refuse_nameless(monkeypatch)
    return tmp_path


def contents(folder: Path) -> Dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def put(folder: Path, files: Dict[str, bytes]) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def write(folder: Path) -> None:
    """Writes a report, weights and the net, as a fold does."""
    with Outputs([]) as outputs:
        for name, content in NEW.items():
            outputs.create(str(folder / name)).write_all(content)
        outputs.commit()


class Calls:
    """Counts the system calls of `write`, and does `act` before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
        self.act, self.left, self.counted = act, 0, 0
        for name in ("fchmod", "fsync", "pwrite", "link", "rename", "replace", "unlink"):
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))

    def each(self, folder: Path, before: Dict[str, bytes]) -> Iterator[Callable[[], None]]:
        """Yields a `write` for each call, with `act` before that call; the folder is restored each time."""
        put(folder, before)
        self.counted = 0
        write(folder)
        for call in range(1, self.counted + 1):
            put(folder, before)
            yield partial(self.write, folder, call)

    def write(self, folder: Path, call: int) -> None:
        self.left = call
        try:
            write(folder)
        finally:
            self.left = 0

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.counted += 1
            self.left -= 1
            if self.left == 0:
                self.act()
            return real(*arguments, **named)

        return call


def full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_on_its_way_has_no_name_where_the_system_can_do_that(tmp_path: Path) -> None:
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        pytest.skip("the file system has no files without a name")
    with Outputs([]) as outputs:
        pending = outputs.create(str(tmp_path / "a"))
        pending.write_all(b"content")
        assert [] == list(tmp_path.iterdir())
        assert b"content" == Path(pending.temporary).read_bytes()
        outputs.commit()
    assert {"a": b"content"} == contents(tmp_path)


def test_elsewhere_it_has_a_temporary_name_and_loses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_nameless(monkeypatch)
    with Outputs([]) as outputs:
        pending = outputs.create(str(tmp_path / "a"))
        pending.write_all(b"content")
        assert [Path(pending.temporary)] == list(tmp_path.iterdir())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("before", [{}, OLD, {"w": b"old w"}, {"n": b"old n"}], ids=["none", "all", "weights", "net"])
def test_new_files_replace_the_old_ones(folder: Path, before: Dict[str, bytes]) -> None:
    put(folder, before)
    write(folder)
    assert NEW == contents(folder)
    assert {0o666 & ~current_umask()} == {path.stat().st_mode & 0o777 for path in folder.iterdir()}


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("before", [{}, OLD], ids=["none", "all"])
def test_what_the_system_refuses_at_any_call_changes_nothing(
    folder: Path, before: Dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: Set[str] = set()
    found: List[Dict[str, bytes]] = []
    for write_refused in Calls(monkeypatch, full).each(folder, before):
        try:
            write_refused()
        except SystemFailure as error:
            messages.add(str(error).partition(": ")[2])
            found.append(contents(folder))
    assert {
        "cannot write: No space left on device; nothing was changed; make room, or write to another folder"
    } == messages
    assert all(each == before for each in found)
    assert 12 <= len(found)  # each of three is written, given a mode, brought to the disk, and named


@pytest.mark.parametrize("before", [{}, OLD], ids=["none", "all"])
def test_at_no_moment_is_there_a_new_net_beside_old_weights(
    folder: Path, before: Dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs: List[Tuple[Optional[bytes], Optional[bytes]]] = []

    def look() -> None:
        found = contents(folder)
        pairs.append((found.get("w"), found.get("n")))

    for write_and_look in Calls(monkeypatch, look).each(folder, before):
        write_and_look()
    old, new = (before.get("w"), before.get("n")), (NEW["w"], NEW["n"])
    assert {old, (None, None), (new[0], None)} <= {*pairs} <= {old, (old[0], None), (None, None), (new[0], None), new}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_call_leaves_all_old_files_or_all_new_ones(
    folder: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    found: List[Dict[str, bytes]] = []
    before = signal.signal(number, interrupt)
    try:
        for write_interrupted in Calls(monkeypatch, lambda: os.kill(os.getpid(), number)).each(folder, OLD):
            with pytest.raises(KeyboardInterrupt):
                write_interrupted()
            found.append(contents(folder))
            assert interrupt is signal.getsignal(number)
    finally:
        signal.signal(number, before)
    last = found.count(OLD)
    assert found == [OLD] * last + [NEW] * (len(found) - last)
    assert 0 < last < len(found)


def test_a_thread_writes_as_well(folder: Path) -> None:
    thread = threading.Thread(target=write, args=(folder,))
    thread.start()
    thread.join()
    assert NEW == contents(folder)


def test_a_folder_that_vanishes_is_a_failure_of_the_system(folder: Path) -> None:
    place = folder / "inner"
    place.mkdir()
    with Outputs([]) as outputs:
        outputs.create(str(place / "a")).write_all(b"content")
        put(place, {})
        place.rmdir()
        with pytest.raises(SystemFailure, match="No such file or directory"):
            outputs.commit()
    assert [] == list(folder.iterdir())


def test_a_folder_that_another_program_has_locked_is_written_in_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr("caffe_fuse.files.outputs._TRIES", 3)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        write(folder)
    finally:
        os.close(handle)
    assert NEW == contents(folder)


@pytest.mark.slow
def test_runs_cut_off_at_random_moments_leave_all_or_nothing() -> None:
    """`make stress` is the long form."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # runs would inherit that it is ignored
    try:
        found = [each for every in stress_outputs.signals(24, seed=3).values() for each in every]
        found += stress_outputs.at_once(2, seed=3)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 26 == len(found)
    assert [] == [each for each in found if each.state == stress_outputs.MIXED or each.lies]
    # A kill between the names of two files is rare, and leaves what was set aside.
    assert [] == [each for each in found if each.temporary and each.status != -signal.SIGKILL]
