"""What a signal does to the command: status 130 and no files, or all files and the status of the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import List

import pytest
from truth import FOLDER as TRUTH

from caffe_fuse.files import interrupts

PAIR = [str(TRUTH / "net-resnet-bottleneck" / name) for name in ("net.prototxt", "net.caffemodel")]
# A job in the background starts with SIGINT ignored, one of nohup with SIGHUP.
PRELUDE = (
    "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
)


def started(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PRELUDE + program, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("place", "status", "files"),
    [("files.outputs._alone", 130, []), ("files.outputs._give_names", 0, ["a.caffemodel", "a.prototxt"])],
    ids=["before the files have their names", "while they get them"],
)
def test_the_status_says_what_is_there(
    number: signal.Signals, place: str, status: int, files: List[str], tmp_path: Path
) -> None:
    module, _, name = place.rpartition(".")
    program = (
        f"from caffe_fuse.cli import process as cli\nfrom caffe_fuse.{module} import {name} as real\n"
        f"def interrupted(*given):\n    os.kill(os.getpid(), {int(number)})\n    return real(*given)\n"
        f"sys.modules['caffe_fuse.{module}'].{name} = interrupted\ncli.console()"
    )
    with started(program, "fuse", *PAIR, "-o", str(tmp_path / "a")) as process:
        _, err = process.communicate(timeout=60)
    assert (status, b"caffe-fuse: error: interrupted\n" if status else b"") == (process.returncode, err)
    assert files == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("other", ["ImportError", "MemoryError", "OSError", "cli.CaffeFuseError"])
def test_an_interrupt_that_a_library_turns_into_its_own_error_is_one(other: str) -> None:
    program = (
        "from caffe_fuse.cli import commands, process as cli\n"
        "def turned(options):\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        f"    except KeyboardInterrupt:\n        raise {other}('no numpy')\n"
        "commands.run_show = turned\ncli.console()"
    )
    with started(program, "show", PAIR[0]) as process:
        _, err = process.communicate(timeout=60)
    assert (130, b"caffe-fuse: error: interrupted\n") == (process.returncode, err)


def test_what_is_still_printed_when_all_is_done_keeps_nobody_waiting() -> None:
    program = (
        "from caffe_fuse.files import interrupts\ninterrupts.end_the_command()\ninterrupts.settled()\n"
        "print('printing', flush=True)\nprint('x' * 10**7, flush=True)"
    )
    with started(program) as process:  # into a pipe that is not read
        assert process.stdout is not None
        assert b"printing" == os.read(process.stdout.fileno(), 8)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(timeout=60)


def test_a_signal_that_was_ignored_stays_so() -> None:
    program = (
        "from caffe_fuse.files import interrupts\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "interrupts.end_the_command()\nsys.exit(signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN)"
    )
    with started(program) as process:
        assert 0 == process.wait(timeout=60)


def test_a_signal_that_nobody_handles_still_ends_a_program_that_uses_the_library() -> None:
    program = (
        "from caffe_fuse.files import interrupts\nwith interrupts.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    print('whole', flush=True)\nprint('more')"
    )
    with started(program) as process:
        out, _ = process.communicate(timeout=60)
    assert (-signal.SIGTERM, b"whole\n") == (process.returncode, out)


def test_other_threads_defer_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    found: List[object] = []

    def look() -> None:
        with interrupts.deferred():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert [before] == found
