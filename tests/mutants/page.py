"""Faults in caffe_fuse/page/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

CHARTS = "page/charts.py"
CHARTS_HTML = "page/charts.html"

TEST_CHARTS = "tests/page/test_charts.py"
TEST_PAGE = "tests/page/test_page.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "what is beyond the end of a chart is drawn outside of it",
        CHARTS,
        "log2(min(max(magnitude, LEFT_END), RIGHT_END))",
        "log2(min(max(magnitude, LEFT_END), 2.0**60))",
        TEST_CHARTS + "::test_what_leaves_the_chart_has_an_arrow_and_its_value",
    ),
    Mutant(
        "a channel of zeros has a bar",
        CHARTS,
        "np.flatnonzero(after > 0)",
        "np.flatnonzero(after >= 0)",
        TEST_CHARTS + "::test_a_strip_has_a_bar_and_a_dash_for_each_channel_that_is_not_0",
    ),
    Mutant(
        "a strip is upside down",
        CHARTS,
        "HEIGHT * (1 - _share(magnitude))",
        "HEIGHT * _share(magnitude)",
        TEST_CHARTS + "::test_a_strip_has_a_bar_and_a_dash_for_each_channel_that_is_not_0",
    ),
    Mutant(
        "a name in a chart is markup",
        CHARTS_HTML,
        "<span>{{ row.label }}</span>",
        "<span>{{ row.label | safe }}</span>",
        TEST_CHARTS + "::test_a_row_leads_to_its_figures_and_is_read_aloud",
    ),
    Mutant(
        "a bar that leaves a chart does not say so",
        CHARTS,
        "if most > RIGHT_END",
        "if most > 2.0**60",
        TEST_CHARTS + "::test_what_leaves_the_chart_has_an_arrow_and_its_value",
    ),
    Mutant(
        "a bar leads to the row of another layer",
        "page/layers.py",
        "return Range(row.layer, before, after, row.link)",
        'return Range(row.layer, before, after, "layer-0")',
        TEST_PAGE + "::test_every_bar_of_a_layer_leads_to_the_row_of_its_name",
    ),
    Mutant(
        "the layers of a page are in the order of the net",
        "page/layers.py",
        "return sorted(rows, key=lambda row: row.badness, reverse=True)",
        "return rows",
        TEST_PAGE + "::test_the_layers_in_trouble_come_first",
    ),
    Mutant(
        "a page lets any script run",
        "page/page.html",
        "script-src 'sha256-{{ digest }}'",
        "script-src 'unsafe-inline'",
        TEST_PAGE + "::test_no_script_but_its_own_can_run_and_nothing_is_requested",
    ),
    Mutant(
        "each refusal has a row of its own",
        "page/lists.py",
        "without_names(each.reason, known), each.remedy)",
        "each.layer.name, each.remedy)",
        TEST_PAGE + "::test_what_has_one_reason_is_one_row",
    ),
    Mutant(
        "a fold that is not safe answers the third question with yes",
        "page/story.py",
        'said = ["No.", *map(_sentence, report.problems)] if report.problems else []',
        "said: List[str] = []",
        TEST_PAGE + "::test_an_unsafe_fold_says_so_and_names_no_output",
    ),
    Mutant(
        "reasons that differ by names have a row each",
        "page/tables.py",
        "word.replace(bare",
        "word.replace(word + bare",
        TEST_PAGE + "::test_reasons_that_differ_only_by_names_are_one_row",
    ),
)
