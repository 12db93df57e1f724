"""Faults in caffe_fuse/execution/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

FORWARD = "execution/forward.py"

TEST_FINDS = "tests/test_finds.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "Reshape takes memory of its own",
        FORWARD,
        "    return _seen_as(computed, written[home]) if home in written else computed\n",
        "    return computed\n",
        TEST_FINDS + "::test_a_run_gives_what_caffe_gave",
    ),
)
