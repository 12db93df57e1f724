"""Faults in caffe_fuse/many/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

ENGINES = "many/engines.py"
RECORDS = "many/records.py"
PAIRS = "many/pairs.py"
ENTRY = "many/entry.py"

TEST_ENGINES = "tests/many/test_engines.py"
TEST_RECORDS = "tests/many/test_records.py"
TEST_PAIRS = "tests/many/test_pairs.py"
TEST_JOBS = "tests/many/test_jobs.py"
TEST_CLI = "tests/cli/test_many_models.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "results come as they are ready, not in turn",
        ENGINES,
        "        while turn in early:\n",
        "        while early and (turn := min(early)) is not None:\n",
        TEST_ENGINES + "::test_results_come_in_turn_as_soon_as_they_can",
    ),
    Mutant(
        "a process more than asked for",
        ENGINES,
        "while waiting and len(running) < self.width:",
        "while waiting and len(running) <= self.width:",
        TEST_ENGINES + "::test_no_more_than_the_count_are_alive",
    ),
    Mutant(
        "processes outlive an interrupt",
        ENGINES,
        "                process.terminate()\n",
        "                pass\n",
        TEST_ENGINES + "::test_what_is_not_waited_for_ends",
    ),
    Mutant(
        "a changed output counts as done",
        RECORDS,
        "and all(sha256(path) == was for path, was in outputs.items())",
        "and all(sha256(path) for path, was in outputs.items())",
        TEST_RECORDS + "::test_what_is_done_is_done_again_where_something_has_changed",
    ),
    Mutant(
        "a failure of the system counts as done",
        RECORDS,
        'entry["status"] < 3 and',
        'entry["status"] < 4 and',
        TEST_RECORDS + "::test_a_failure_is_tried_again_and_a_refusal_is_not",
    ),
    Mutant(
        "half a line stays before the next one",
        RECORDS,
        "            file.truncate(sum(place.size for place, _ in _entries(self._partial)))\n",
        "",
        TEST_RECORDS + "::test_half_a_line_is_no_error",
    ),
    Mutant(
        "the digest does not know the options",
        ENTRY,
        "json.dumps([__version__, job.words, list(inputs.items())])",
        "json.dumps([__version__, job.net, list(inputs.items())])",
        TEST_RECORDS + "::test_other_options_or_another_version_are_another_job",
    ),
    Mutant(
        "a net for training counts as much as one for deployment",
        PAIRS,
        "    chosen = deploying or fitting\n",
        "    chosen = fitting\n",
        TEST_PAIRS + "::test_the_models_of_a_folder",
    ),
    Mutant(
        "names come after layers",
        PAIRS,
        "if len(found) == 1]\n    unpaired",
        "if not found]\n    unpaired",
        TEST_PAIRS + "::test_the_models_of_a_folder",
    ),
    Mutant(
        "two models write one file",
        "many/jobs.py",
        "            if place in writers:\n",
        "            if False:\n",
        TEST_JOBS + "::test_no_file_is_written_twice_or_read_by_another",
    ),
    Mutant(
        "the best status counts",
        "many/table.py",
        "return max(statuses, default=0)",
        "return min(statuses, default=0)",
        TEST_CLI + "::test_each_model_is_folded_as_alone_and_the_worst_status_counts",
    ),
    Mutant(
        "a worker changes its folder under a task that is at work",
        "many/cluster.py",
        "            self._left.wait_for(lambda: not self._inside or os.getcwd() == home)\n",
        "",
        "tests/many/test_cluster.py::test_a_task_of_another_folder_waits_until_those_of_this_one_are_done",
    ),
)
