"""Runs the tests as they would run on other processors, and prints a table of what failed where.

OpenBLAS, NumPy and OpenCV choose their code by the processor, and with it the order in which they add. Each row of the
table takes some of that choice away. Arguments are pytest's: `tests/anywhere.py tests/test_forward.py -n 2`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import Dict, Iterable, List, NamedTuple

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What a dispatched feature of NumPy is made for, by the names of NumPy 1.x and of 2.4.
AVX512 = ("AVX512", "X86_V4")
AVX2 = ("AVX2", "FMA3", "X86_V3", *AVX512)


class Processor(NamedTuple):
    """blas: a core type of OpenBLAS; taken_away: features that NumPy and OpenCV do without."""

    blas: str
    threads: int
    taken_away: Iterable[str]


PROCESSORS = (
    Processor("SkylakeX", 1, ()),
    Processor("SkylakeX", 2, ()),
    Processor("Haswell", 1, AVX512),
    Processor("Haswell", 2, AVX512),
    Processor("Prescott", 1, AVX2),
    Processor("Prescott", 2, AVX2),
    Processor("Prescott", 2, ()),
    Processor("SkylakeX", 1, AVX2),
)


def dispatched() -> List[str]:
    """The features that this NumPy can do without."""
    try:
        from numpy._core import _multiarray_umath as core  # type: ignore[attr-defined]
    except ImportError:
        from numpy.core import _multiarray_umath as core  # NumPy 1.x
    return list(core.__cpu_dispatch__)


def environment(processor: Processor, features: Iterable[str]) -> Dict[str, str]:
    disabled = [name for name in features if name.startswith(tuple(processor.taken_away))]
    return {
        "OPENBLAS_CORETYPE": processor.blas,
        "OPENBLAS_NUM_THREADS": str(processor.threads),
        "NPY_DISABLE_CPU_FEATURES": " ".join(disabled),
        "OPENCV_CPU_DISABLE": ",".join(name for name in processor.taken_away if name.startswith(("AVX", "FMA"))),
    }


def main() -> int:
    features, worst = dispatched(), 0
    print(f"{'BLAS':10}{'threads':>8}  {'without':12}{'seconds':>8}  result", flush=True)
    for processor in PROCESSORS:
        started = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sys.argv[1:]]
        settings = {**os.environ, **environment(processor, features)}
        done = subprocess.run(command, cwd=PROJECT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = done.stdout.decode(errors="replace").splitlines() or ["nothing was printed"]
        without = {(): "-", AVX512: "AVX512", AVX2: "AVX512, AVX2"}[tuple(processor.taken_away)]
        result = re.sub(r"=+ ?| in .*", "", lines[-1])
        seconds = time.monotonic() - started
        print(f"{processor.blas:10}{processor.threads:8}  {without:12}{seconds:8.0f}  {result}", flush=True)
        for line in lines:
            if line.startswith(("FAILED", "ERROR")):
                print(f"    {line}", flush=True)
        worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
