"""Faults in caffe_fuse/cli/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

PRINTING = "cli/printing.py"
FAILURES = "cli/failures.py"

TEST_BARS = "tests/cli/test_bars.py"
TEST_CALIBRATION = "tests/ranges/test_calibration.py"
TEST_MANY = "tests/cli/test_many_models.py"
TEST_OUTPUTS = "tests/cli/test_outputs_of_commands.py"
TEST_IMAGES = "tests/cli/test_images.py"
TEST_PRINTING = "tests/cli/test_printing.py"
TEST_SHOW = "tests/report/test_show.py"
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
    Mutant(
        "a plan in a pipe is cut",
        PRINTING,
        "if sys.stdout is None or not sys.stdout.isatty():\n        return None\n    import shutil",
        "import shutil",
        TEST_SHOW + "::test_a_terminal_gets_the_grouped_form_and_a_pipe_every_layer",
    ),
    Mutant(
        "the printed report is between the lines of the JSON one",
        PRINTING,
        "_write(sys.stderr, _for_stream(sys.stderr, found.lines))",
        "_write(sys.stdout, _for_stream(sys.stderr, found.lines))",
        TEST_OUTPUTS + "::test_the_json_report_alone_goes_to_stdout",
    ),
    Mutant(
        "a folder stays although nothing is in it",
        "cli/writing.py",
        "                os.rmdir(folder)\n",
        "                pass\n",
        TEST_OUTPUTS + "::test_a_folder_into_which_nothing_is_written_goes_again",
    ),
    Mutant(
        "an output that exists is replaced in spite of --no-clobber",
        "cli/writing.py",
        "options.no_clobber and os.path.lexists(output)",
        "options.no_clobber and os.path.isdir(output)",
        TEST_OUTPUTS + "::test_with_no_clobber_no_output_is_replaced",
    ),
    Mutant(
        "a mean image is read in the order of the rows",
        "cli/images.py",
        "mean.mean((1, 2), np.float64)",
        "mean.mean((0, 1), np.float64)[: len(mean)]",
        TEST_IMAGES + "::test_a_mean_image_of_another_size_is_the_mean_of_each_channel",
    ),
    Mutant(
        "images in the folders of a folder come first",
        "cli/images.py",
        "for path in sorted(found) if path",
        "for path in found if path",
        TEST_IMAGES + "::test_a_folder_is_read_with_the_folders_in_it_sorted_by_path",
    ),
    Mutant(
        "the command after check writes over the report of check",
        "cli/options.py",
        'words_of(options, {"report", "html"})',
        'words_of(options, {"html"})',
        "tests/judging/test_verdict.py::test_a_number_far_beyond_the_largest_half_is_not_safe_on_any_device",
    ),
)
