"""Faults in caffe_fuse/report/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

TEST_SHOW = "tests/report/test_show.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "one long cell of a plan widens all lines",
        "report/show.py",
        "_aligned(rows, _widths(rows, WIDEST))",
        "_aligned(rows, _widths(rows, 1 << 30))",
        "tests/report/test_report.py::test_one_very_long_line_of_a_plan_does_not_make_the_others_long",
    ),
    Mutant(
        "a block comes once more than it does",
        "report/repeats.py",
        "1 + alike[size] // size",
        "2 + alike[size] // size",
        TEST_SHOW + "::test_blocks_are_the_items_again",
    ),
    Mutant(
        "blocks with other kernels repeat",
        "report/show.py",
        "len(step.layer.tops), kernels, words",
        "len(step.layer.tops), words",
        TEST_SHOW + "::test_blocks_whose_kernels_differ_are_not_the_same",
    ),
    Mutant(
        "the JSON report leaves out what to do",
        "report/json_report.py",
        '        "next": list(report.next),\n',
        "",
        "tests/report/test_json_schema.py",
    ),
)
