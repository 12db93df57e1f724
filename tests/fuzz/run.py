"""Runs random cases until time is up, and prints the faults: python tests/fuzz/run.py TARGET [--seconds N] [--seed N].

Targets are text, caffemodel, hdf5 and structure. With atheris installed (`make fuzz` does that, in its own environment)
--guided lets it choose the bytes of the first three by coverage. Prints executions, time and finds; the first case of
each kind of find is kept in a folder. Status 1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Any, Dict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
MEMORY = 3_000_000_000  # of addresses


class Session:
    """The finds of a target by kind, and its time."""

    def __init__(self, name: str, seconds: float, folder: Path) -> None:
        self.name, self.seconds, self.folder = name, seconds, folder
        self.started, self.executions = time.monotonic(), 0
        self.finds: Dict[str, int] = {}
        self._told = self.started

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self.started > self.seconds

    def run(self, target: Any, case: Any) -> None:
        from targets import Find, cause

        self.executions += 1
        try:
            target.run(case)
        except Find as find:
            self._found(find.kind, str(find), case)
        except Exception:
            text = traceback.format_exc()
            self._found(cause(text) or text.splitlines()[-1], text, case)
        if time.monotonic() - self._told > 60:
            self._told = time.monotonic()
            self.tell()

    def _found(self, kind: str, text: str, case: Any) -> None:
        self.finds[kind] = self.finds.get(kind, 0) + 1
        if self.finds[kind] > 1:
            return
        place = self.folder / f"{self.name}-{len(self.finds)}"
        place.mkdir(parents=True, exist_ok=True)
        for name, content in case.files.items():
            (place / name).write_bytes(content)
        (place / "find.txt").write_text(f"{kind}\n{' '.join(case.arguments)}\n\n{text}\n", encoding="utf-8")
        print(f"find: {kind} -> {place}", flush=True)

    def tell(self) -> None:
        passed = time.monotonic() - self.started
        print(f"{self.name}: {self.executions} executions, {passed:.0f} s, {len(self.finds)} kinds of find", flush=True)
        for kind, count in self.finds.items():
            print(f"  {count} x {kind}", flush=True)


def guided(session: Session, target: Any) -> None:
    import atheris
    from targets import Case

    (name,) = target.case(Random(0)).files

    def one(data: bytes) -> None:
        session.run(target, Case({name: data}))
        if session.is_over:
            session.tell()
            os._exit(1 if session.finds else 0)

    corpus = session.folder / f"{session.name}-corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, known in enumerate(target.known):
        (corpus / f"known{number}").write_bytes(known)
    atheris.Setup([sys.argv[0], str(corpus), "-max_len=4096", "-rss_limit_mb=0", "-timeout=60", "-verbosity=0"], one)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true", help="by coverage; needs atheris, not for structure")
    parser.add_argument("--finds", type=Path, default=Path("fuzz-finds"), help="the folder for finds")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    if options.guided:
        import atheris

        with atheris.instrument_imports(include=["caffe_fuse"]):
            import targets
    else:
        import targets

    warnings.simplefilter("error")
    target = targets.target(options.target)
    session = Session(options.target, options.seconds, options.finds)
    if options.guided:
        guided(session, target)
    number = options.seed
    while not session.is_over:
        session.run(target, target.case(Random(number)))
        number += 1
    session.tell()
    for status, count in sorted(getattr(target, "statuses", {}).items()):
        print(f"  {count} x {status}")
    return 1 if session.finds else 0


if __name__ == "__main__":
    sys.exit(main())
