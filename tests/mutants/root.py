"""Faults in the modules at the root of caffe_fuse/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

TYPES = "argument_types.py"
DISPLAY = "display.py"

TEST_DISPLAY = "tests/test_display.py"
TEST_TYPES = "tests/test_arguments.py"
MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "a flag is accepted where a number is expected",
        TYPES,
        "or isinstance(value, kind.never):",
        "and not isinstance(value, kind.never):",
        TEST_TYPES,
    ),
    Mutant(
        "what is in a list of names is not looked at",
        TYPES,
        "    for each in found:",
        "    for each in found[:0]:",
        TEST_TYPES,
    ),
    Mutant(
        "a name in a notebook is markup",
        DISPLAY,
        "{escape(text)}</td></tr>",
        "{text}</td></tr>",
        TEST_DISPLAY,
    ),
    Mutant(
        "a long display is not cut",
        DISPLAY,
        "[*rows[: MOST_ROWS - 1], (",
        "[*rows, (",
        TEST_DISPLAY,
    ),
)
