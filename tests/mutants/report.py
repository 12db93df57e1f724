"""Faults in caffe_fuse/report/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

CHARTS = "report/charts.py"
CHARTS_HTML = "report/charts.html"

TEST_CHARTS = "tests/report/test_charts.py"
TEST_SHOW = "tests/report/test_show.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "what is beyond the end of a chart is drawn outside of it",
        CHARTS,
        "log2(min(max(magnitude, LEFT_END), RIGHT_END))",
        "log2(min(max(magnitude, LEFT_END), 2.0**60))",
        TEST_CHARTS + "::test_what_is_beyond_the_ends_is_drawn_there",
    ),
    Mutant(
        "a channel of zeros has a bar",
        CHARTS,
        "np.flatnonzero(after > 0)",
        "np.flatnonzero(after >= 0)",
        TEST_CHARTS + "::test_a_strip_has_a_bar_and_a_dot_for_each_channel_that_is_not_0",
    ),
    Mutant(
        "a strip is upside down",
        CHARTS,
        "_Scale(STRIP, 0)",
        "_Scale(0, STRIP)",
        TEST_CHARTS + "::test_a_strip_has_a_bar_and_a_dot_for_each_channel_that_is_not_0",
    ),
    Mutant(
        "a name in a chart is markup",
        CHARTS_HTML,
        "<title>{{ mark.title }}</title>",
        "<title>{{ mark.title | safe }}</title>",
        TEST_CHARTS + "::test_a_chart_is_a_picture_with_a_title",
    ),
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
)
