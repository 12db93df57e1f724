"""Faults in the modules at the root of caffe_fuse/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

TYPES = "argument_types.py"
DISPLAY = "display.py"
SPELLING = "spelling.py"

TEST_CLI = "tests/cli/test_cli.py"
TEST_DISPLAY = "tests/test_display.py"
TEST_SCHEMA = "tests/schema/test_schema.py"
TEST_TYPES = "tests/test_arguments.py"

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
