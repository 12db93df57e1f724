"""python tests/mutants/run.py [NAME ...] [--since [REV]] [--at-most N]: who notices the deliberate faults?

It copies the project, shows that the named tests are green, applies one fault at a time, runs its test there, and tells
who survived. Status 1 if one did. --since: only those that a change touches (see touched.py), since REV, without one
since the branch left origin/main. --at-most: of more only N, evenly chosen.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import List, Optional, Sequence

if __name__ == "__main__":
    # In the place of this folder, whose files are called as the rooms.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mutants import MUTANTS, PROJECT, Mutant
from mutants.touched import NoHistory, UnknownRevision, revision, touched

NOT_COPIED = shutil.ignore_patterns("__pycache__", ".*", "build", "dist", "demo", "_site", "*.egg-info")
COMMAND = ".venv/bin/python tests/mutants/run.py"


def run_tests(folder: Path, *tests: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def check_sound(folder: Path, mutants: Sequence[Mutant]) -> None:
    """A test that fails without a fault as well would call every fault noticed."""
    done = run_tests(folder, "-n", "2", *sorted({mutant.test for mutant in mutants}))
    if done.returncode:
        raise SystemExit(f"a test fails without any fault:\n{done.stdout.decode()}")


def survives(mutant: Mutant, folder: Path) -> bool:
    """Whether the mutant's test passes in a copy of the project that has the fault."""
    path = folder / "caffe_fuse" / mutant.file
    sound = path.read_text()
    if sound.count(mutant.old) != 1:
        raise SystemExit(f"mutant {mutant.name!r}: its text is not in {mutant.file} exactly once")
    path.write_text(sound.replace(mutant.old, mutant.new))
    try:
        done = run_tests(folder, mutant.test)
    finally:
        path.write_text(sound)
    if done.returncode not in (0, 1):
        raise SystemExit(f"mutant {mutant.name!r}: its test did not run:\n{done.stdout.decode()}")
    return done.returncode == 0


def survivors_of(mutants: Sequence[Mutant]) -> int:
    """How many of them no test notices."""
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / str(number) for number in range(2)]
        for folder in folders:
            shutil.copytree(PROJECT, folder, ignore=NOT_COPIED)
        check_sound(folders[0], mutants)
        free = list(folders)

        def run(mutant: Mutant) -> bool:
            folder = free.pop()
            try:
                lives = survives(mutant, folder)
            finally:
                free.append(folder)
            print(f"{mutant.name}: {'SURVIVED' if lives else f'killed by {mutant.test}'}", flush=True)
            return lives

        with ThreadPoolExecutor(len(folders)) as pool:
            return sum(pool.map(run, mutants))


def evenly(mutants: Sequence[Mutant], count: int) -> List[Mutant]:
    """So many of them, from all parts of the list."""
    return [mutants[place * len(mutants) // count] for place in range(count)]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="the fault of this name; without one all")
    parser.add_argument("--since", nargs="?", const="", metavar="REV", help="only those that changes since REV touch")
    parser.add_argument("--at-most", type=int, metavar="N", help="of more only N")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"there is no fault {min(unknown)!r}")
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    if options.since is not None:
        try:
            since = revision(PROJECT, options.since or None)
            chosen = touched(chosen, PROJECT, since)
        except NoHistory as error:
            print(f"which faults a change touches cannot be told, and none is tried: {error}")
            return 0
        except UnknownRevision as error:
            parser.error(str(error))
        print(f"what changed since {since[:12]} touches {len(chosen)} of {len(MUTANTS)} faults", flush=True)
    if options.at_most is not None and len(chosen) > options.at_most:
        everything = COMMAND if options.since is None else f"{COMMAND} --since {since[:12]}"
        print(f"{len(chosen) - options.at_most} of them are left out; for all: {everything}", flush=True)
        chosen = evenly(chosen, options.at_most)
    survivors = survivors_of(chosen) if chosen else 0
    print(f"{len(chosen) - survivors} of {len(chosen)} faults were noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
