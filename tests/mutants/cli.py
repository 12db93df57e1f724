"""Faults in caffe_fuse/cli/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

PRINTING = "cli/printing.py"
PROCESS = "cli/process.py"

TEST_PRINTING = "tests/cli/test_printing.py"
TEST_INTERRUPTS = "tests/files/test_interrupts.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "a name speaks to the terminal",
        PRINTING,
        "    printed = [shown(line) for line in lines]\n",
        "    printed = list(lines)\n",
        TEST_PRINTING + "::test_no_command_prints_what_a_terminal_obeys_nor_a_line_more",
    ),
    Mutant(
        "a warning has lines of its own",
        PRINTING,
        "_write(sys.stderr, [shown(line) for line in",
        "_write(sys.stderr, [line for line in",
        TEST_PRINTING + "::test_no_command_prints_what_a_terminal_obeys_nor_a_line_more",
    ),
    Mutant(
        "an interrupt in an import is a defect",
        PROCESS,
        "isinstance(error, KeyboardInterrupt) or interrupts.came()",
        "isinstance(error, KeyboardInterrupt)",
        TEST_INTERRUPTS + "::test_an_interrupt_that_a_library_turns_into_its_own_error_is_one",
    ),
)
