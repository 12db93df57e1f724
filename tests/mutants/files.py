"""Faults in caffe_fuse/files/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

OUTPUTS = "files/outputs.py"

TEST_INTERRUPTS = "tests/files/test_interrupts.py"
TEST_OUTPUTS = "tests/files/test_outputs.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "old weights are set aside before the old net",
        OUTPUTS,
        "for pending in reversed(files) if",
        "for pending in files if",
        TEST_OUTPUTS + "::test_at_no_moment_is_there_a_new_net_beside_old_weights",
    ),
    Mutant(
        "the net gets its name before the weights",
        OUTPUTS,
        "        for pending in files:\n            target = pending.target\n",
        "        for pending in reversed(files):\n            target = pending.target\n",
        TEST_OUTPUTS + "::test_at_no_moment_is_there_a_new_net_beside_old_weights",
    ),
    Mutant(
        "a signal cuts the names in two",
        OUTPUTS,
        "with _alone(folders[-1]), interrupts.deferred():",
        "with _alone(folders[-1]):",
        TEST_OUTPUTS + "::test_a_signal_at_any_call_leaves_all_old_files_or_all_new_ones",
    ),
    Mutant(
        "old files do not come back",
        OUTPUTS,
        "                os.rename(kept, path)\n",
        "                pass\n",
        TEST_OUTPUTS + "::test_what_the_system_refuses_at_any_call_changes_nothing",
    ),
    Mutant(
        "a signal is told after all is there",
        OUTPUTS,
        "            interrupts.settled()\n",
        "",
        TEST_INTERRUPTS + "::test_the_status_says_what_is_there",
    ),
)
