"""Checks the disk after runs that were interrupted at a random moment, met another run, or found the disk full.

    python tests/stress_outputs.py [--signals 1000] [--pairs 50] [--jobs N] [--seed 1]

Each run folds a sample net over old files of the same names, or into an empty folder. The results are counted and
printed; the status is 1 if a new net was found with old weights, if a status was wrong, or if a temporary file was left
although the system has files without a name.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

SAMPLES = Path(__file__).resolve().parent.parent / "sample_nets"
MODEL = [str(SAMPLES / f"resnet20_cifar.{ending}") for ending in ("prototxt", "caffemodel")]
NAMES = ("r.json", "a.caffemodel", "a.prototxt")
CALLS = ("pwrite", "fchmod", "fsync", "link", "rename")  # of the system, that ask for room
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
ALL_NEW, ALL_OLD, MIXED = "complete new files", "all as it was", "MIXED PAIR"
# A run in which the call of that name and number finds the disk full; what it gives to stderr says whether it was made.
FULL = """
import errno, os, sys
name, left = sys.argv[1], int(sys.argv[2])
real = getattr(os, name)
def refused(*given, **named):
    global left
    left -= 1
    if left == 0:
        print("refused", file=sys.stderr, flush=True)
        raise OSError(errno.ENOSPC, "No space left on device")
    return real(*given, **named)
setattr(os, name, refused)
from caffe_fuse import cli
sys.argv[1:] = sys.argv[3:]
cli.console()
"""
SMALL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from caffe_fuse import cli
sys.argv[1:] = sys.argv[2:]
cli.console()
"""

Contents = Tuple[Optional[bytes], ...]


class Found(NamedTuple):
    """The result of one run: its status, the files under the names, and the count of other files."""

    status: int
    state: str
    temporary: int

    @property
    def lies(self) -> bool:
        """Returns whether the status is wrong; -9, killed, never is."""
        return self.status != -signal.SIGKILL and self.state != (ALL_NEW if self.status == 0 else ALL_OLD)


def command(folder: Path, *more: str) -> List[str]:
    return ["fuse", *MODEL, "-o", str(folder / "a"), "--report", str(folder / "r.json"), "-q", *more]


def start(words: Sequence[str], program: Sequence[str] = ("-m", "caffe_fuse")) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@contextmanager
def prepared(old: bool, place: Optional[str] = None) -> Iterator[Path]:
    """Returns a folder with old files of all names, or an empty one."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        if old:
            for each in NAMES:
                (folder / each).write_bytes(b"old")
        yield folder


def contents(folder: Path) -> Contents:
    return tuple((folder / name).read_bytes() if (folder / name).exists() else None for name in NAMES)


def look(folder: Path, status: int, old: bool, *new: Contents) -> Found:
    """new: what the files are after a whole run, of each run that was there; the report alone names its folder."""
    _, weights, net = contents(folder)
    before = b"old" if old else None
    report = (folder / "r.json").read_bytes() if (folder / "r.json").exists() else None
    kinds = [(weights == whole[1], net == whole[2]) for whole in new]
    if (True, True) in kinds and report not in (None, b"old"):
        state = ALL_NEW
    elif (weights, net, report) == (before,) * 3:
        state = ALL_OLD
    elif net is None:
        state = "no net, " + ("no" if weights is None else "old" if weights == b"old" else "new") + " weights"
    else:
        state = MIXED
    return Found(status, state, sum(path.name not in NAMES for path in folder.iterdir()))


@lru_cache(maxsize=None)
def whole(*more: str) -> Contents:
    """Returns what a complete run writes."""
    with prepared(False) as folder:
        with start(command(folder, *more)) as process:
            process.communicate()
        found = contents(folder)
    assert None not in found
    return found


def seconds_of(_: int) -> float:
    with prepared(True) as folder:
        begin = time.monotonic()
        with start(command(folder)) as process:
            process.communicate()
        return time.monotonic() - begin


def signals(count: int, seed: int, jobs: int = 1) -> Dict[signal.Signals, List[Found]]:
    """Sends each of SIGNALS in turn, a fourth of them at any moment of the run, the others while files get their names.

    jobs: how many runs there are at a time, each in its own folder.
    """
    chance = random.Random(seed)
    new = whole()
    reach = [1.0]

    def cut_off(drawn: Tuple[signal.Signals, bool, float, bool]) -> Found:
        number, old, delay, late = drawn
        with prepared(old) as folder, start(command(folder)) as process:
            time.sleep(delay * reach[0])
            process.send_signal(number)
            process.communicate()
            found = look(folder, process.returncode, old, new)
        # The machine has other work: signals sent late should find half of the runs complete.
        reach[0] *= 1.0 if not late else 0.98 if found.state == ALL_NEW else 1.02
        return found

    drawn = [(SIGNALS[turn % 3], chance.random() < 0.7, chance.uniform(0.9, 1.1), True) for turn in range(count)]
    drawn[::4] = [(number, old, chance.random(), False) for number, old, _, _ in drawn[::4]]
    with ThreadPoolExecutor(jobs) as pool:
        reach[0] = statistics.median(pool.map(seconds_of, range(3 * jobs)))
        found = list(pool.map(cut_off, drawn))
    return {number: found[place::3] for place, number in enumerate(SIGNALS)}


def at_once(count: int, seed: int) -> List[Found]:
    """Starts two runs that write different models to the same names, within a few milliseconds."""
    chance = random.Random(seed)
    other = ("--keep", "stem_bn", "--allow-bn", "--half-policy", "off")
    first, second = whole(), whole(*other)
    assert first[1] != second[1]
    assert first[2] != second[2]
    found: List[Found] = []
    for _ in range(count):
        with prepared(True) as folder, start(command(folder)) as one:
            time.sleep(chance.uniform(0, 0.02))
            with start(command(folder, *other)) as two:
                one.communicate()
                two.communicate()
            found.append(look(folder, max(one.returncode, two.returncode), True, first, second))
    return found


def full_at_a_call(name: str) -> List[Found]:
    """Runs with the disk full at the first call, then at the second, until there are no more."""
    new = whole()
    found: List[Found] = []
    for number in range(1, 100):
        with prepared(True) as folder:
            with start([name, str(number), *command(folder)], ("-c", FULL)) as process:
                _, err = process.communicate()
            if b"refused" not in err:
                break
            found.append(look(folder, process.returncode, True, new))
    return found


def full_at_a_size() -> List[Found]:
    """Limits files to one byte less than each output, and to half of that."""
    new = whole()
    found: List[Found] = []
    for size in sorted({max(1, part) for file in new if file for part in (len(file) - 1, len(file) // 2)}):
        with prepared(True) as folder:
            with start([str(size), *command(folder)], ("-c", SMALL)) as process:
                process.communicate()
            found.append(look(folder, process.returncode, True, new))
    return found


def full_disk(steps: int) -> List[Found]:
    """Runs on file systems of growing sizes, up to one that holds everything; none if they cannot be mounted."""
    new = whole()
    most = sum(len(file) for file in new if file) // 1024
    found: List[Found] = []
    for step in range(steps):
        with tempfile.TemporaryDirectory() as place:
            size = 32 + (most + 64) * step // (steps - 1)
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "caffe_fuse", place]
            if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
                return []
            try:
                with prepared(True, place) as folder:
                    with start(command(folder)) as process:
                        process.communicate()
                    found.append(look(folder, process.returncode, True, new))
            finally:
                subprocess.run(["umount", place], check=True)
    return found


def nameless() -> bool:
    """Returns whether the folder for temporary files supports files without a name."""
    try:
        os.close(os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR))
    except OSError:
        return False
    return True


def told(title: str, found: Sequence[Found]) -> None:
    print(f"{title}: {len(found)} runs")
    for (state, status), count in sorted(Counter((each.state, each.status) for each in found).items()):
        print(f"  {count:5}  {state}, status {status}")
    mixed = sum(each.state == MIXED for each in found)
    lies, temporary = sum(each.lies for each in found), sum(each.temporary for each in found)
    print(f"  mixed pairs {mixed}, statuses that lie {lies}, temporary files left {temporary}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (one for each processor)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background hands on that it is ignored
    every: List[Found] = []
    for number, found in signals(given.signals, given.seed, given.jobs).items():
        told(number.name, found)
        every += found
    parts: List[Tuple[str, Callable[[], List[Found]]]] = [
        ("two runs at once", partial(at_once, given.pairs, given.seed)),
        *((f"disk full at a call of {name}", partial(full_at_a_call, name)) for name in CALLS),
        ("no file larger than", full_at_a_size),
        ("a small file system", partial(full_disk, 24)),
    ]
    for title, run in parts:
        found = run()
        told(title, found)
        every += found
    bad = [each for each in every if each.state == MIXED or each.lies or (each.temporary and nameless())]
    print(f"{len(every)} runs, {len(bad)} with something wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
