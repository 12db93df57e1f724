"""Faults in caffe_fuse/cli/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

PRINTING = "cli/printing.py"
FAILURES = "cli/failures.py"

TEST_BARS = "tests/cli/test_bars.py"
TEST_CALIBRATION = "tests/ranges/test_calibration.py"
TEST_MANY = "tests/cli/test_many_models.py"
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
        FAILURES,
        "isinstance(error, KeyboardInterrupt) or interrupts.came()",
        "isinstance(error, KeyboardInterrupt)",
        TEST_INTERRUPTS + "::test_an_interrupt_that_a_library_turns_into_its_own_error_is_one",
    ),
    Mutant(
        "what was written before is a model",
        "cli/job_list.py",
        "if os.path.realpath(job.net) not in made]",
        "if job.net]",
        TEST_MANY + "::test_what_the_command_wrote_before_is_no_model_of_it",
    ),
    Mutant(
        "a loop within a loop has its own bar",
        "cli/bars.py",
        "if self._busy or self._quiet:",
        "if self._quiet:",
        TEST_BARS + "::test_of_loops_inside_one_another_the_outer_one_is_shown",
    ),
    Mutant(
        "the last batches are not run",
        "cli/calibration.py",
        "for first in range(0, batches, size)]",
        "for first in range(0, batches - size, size)]",
        TEST_CALIBRATION + "::test_processes_record_the_same_bytes",
    ),
)
