"""Faults in the modules at the root of caffe_fuse/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

SPELLING = "spelling.py"

TEST_SCHEMA = "tests/schema/test_schema.py"
TEST_CLI = "tests/cli/test_cli.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "a misspelt word is found in its own case only",
        SPELLING,
        "get_close_matches(name.lower(), spellings",
        "get_close_matches(name, spellings",
        TEST_SCHEMA + "::test_a_misspelt_word_is_the_known_one_that_is_nearly_so_in_any_case",
    ),
    Mutant(
        "a typed word must be nearly right to be understood",
        SPELLING,
        "hint(nearest(typed, known, TYPED))",
        "hint(nearest(typed, known))",
        TEST_CLI + "::test_a_command_line_that_is_none_points_to_the_help_of_its_command",
    ),
)
