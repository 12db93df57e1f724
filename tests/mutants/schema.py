"""Faults in caffe_fuse/schema/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

NAMES = "schema/names.py"

TEST_NAMES = "tests/schema/test_names.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "letters are taken for an escaped byte",
        NAMES,
        '_BACKSLASH.sub(rb"\\\\x5c", name)',
        "name",
        TEST_NAMES + "::test_letters_that_look_like_an_escaped_byte_stay_letters",
    ),
)
