"""Runs the tests as on other processors, and prints a table of what failed where.

OpenBLAS, NumPy and OpenCV choose their code by the processor, and with it the order of sums. Each row of the table
restricts that choice. Arguments are passed to pytest: `tests/anywhere.py tests/execution/test_forward.py -n 2`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from importlib import import_module
from typing import Dict, List, NamedTuple, Tuple

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Without(NamedTuple):
    """CPU features. numpy: prefixes of their names in NumPy 1.x and in 2.4; opencv: their names in OpenCV."""

    numpy: Tuple[str, ...]
    opencv: Tuple[str, ...]


AVX512 = Without(("AVX512", "X86_V4"), ("AVX512-SKX",))
AVX2 = Without(("AVX2", "FMA3", "X86_V3"), ("AVX2", "FMA3"))


class Processor(NamedTuple):
    """blas: a core type of OpenBLAS; without: features that are disabled in NumPy and OpenCV."""

    blas: str
    threads: int
    without: Tuple[Without, ...] = ()

    def environment(self) -> Dict[str, str]:
        begins = tuple(begin for each in self.without for begin in each.numpy)
        return {
            "OPENBLAS_CORETYPE": self.blas,
            "OPENBLAS_NUM_THREADS": str(self.threads),
            "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in dispatched() if name.startswith(begins)),
            "OPENCV_CPU_DISABLE": ",".join(name for each in self.without for name in each.opencv),
        }

    def __str__(self) -> str:
        names = " ".join(each.opencv[0] for each in self.without)
        return f"{self.blas:10}{self.threads:8}  {names or '-':16}"


PROCESSORS = (
    Processor("SkylakeX", 1),
    Processor("SkylakeX", 2),
    Processor("Haswell", 1, (AVX512,)),
    Processor("Haswell", 2, (AVX512,)),
    Processor("Prescott", 1, (AVX2, AVX512)),
    Processor("Prescott", 2, (AVX2, AVX512)),
    Processor("Prescott", 2),
    Processor("SkylakeX", 1, (AVX2, AVX512)),
)


def dispatched() -> List[str]:
    """Returns the features that this NumPy can disable; it rejects others."""
    try:
        core = import_module("numpy._core._multiarray_umath")
    except ImportError:
        core = import_module("numpy.core._multiarray_umath")  # NumPy 1.x
    return list(core.__cpu_dispatch__)


def main() -> int:
    worst = 0
    print(f"{'BLAS':10}{'threads':>8}  {'without':16}{'seconds':>8}  result", flush=True)
    for processor in PROCESSORS:
        started = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sys.argv[1:]]
        settings = {**os.environ, **processor.environment()}
        done = subprocess.run(command, cwd=PROJECT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = done.stdout.decode(errors="replace").splitlines() or ["nothing was printed"]
        result = re.sub(r"=+ ?| in .*", "", lines[-1])
        print(f"{processor}{time.monotonic() - started:8.0f}  {result}", flush=True)
        failed = (line for line in lines if line.startswith(("FAILED", "ERROR")))
        print("".join(f"    {line}\n" for line in failed), end="", flush=True)
        worst = max(worst, done.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
