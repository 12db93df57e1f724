"""Where the charts draw what: positions by hand, and what a reader without a pointer or eyes gets."""

from __future__ import annotations

import re
from typing import List

import numpy as np
import pytest

from caffe_fuse.report import charts, page
from caffe_fuse.report.charts import Range, ranges, strip


def numbers(path: str) -> List[float]:
    return [float(number) for number in re.findall(r"[\d.]+", path)]


def test_a_bar_goes_from_the_smallest_magnitude_to_the_largest_one() -> None:
    chart = ranges("t", [Range("c", (2.0**-34, 2.0**28), (2.0**-3, 2.0**-3)), Range("d", None, (1.0, 65504.0))])
    (before, after), (only,) = (mark.lines for mark in chart.marks)
    ends = charts.LABELS, charts.WIDTH - charts.MARGIN
    half, middle = charts.LEAST / 2, sum(ends) / 2
    assert ("before", "after", "after") == (before.name, after.name, only.name)
    first, _, last = numbers(before.path)
    assert (ends[0] - half, ends[1] + half) == (first, last)
    first, _, last = numbers(after.path)
    assert (middle - half, middle + half) == (first, last)
    assert [pytest.approx(numbers(only.path)[0] + half)] == [each.x for each in chart.axis if each.words == "1"]


def test_what_is_beyond_the_ends_is_drawn_there() -> None:
    chart = ranges("t", [Range("c", (1e-30, np.inf), None)])
    first, _, last = numbers(chart.marks[0].lines[0].path)
    assert charts.LABELS <= first + charts.LEAST / 2 < last - charts.LEAST / 2 <= charts.WIDTH - charts.MARGIN


def test_rows_are_below_each_other_and_the_axis_below_all() -> None:
    chart = ranges("t", [Range(name, (1.0, 2.0), (3.0, 4.0)) for name in "abc"])
    heights = [numbers(line.path)[1] for mark in chart.marks for line in mark.lines]
    assert sorted(heights) == heights
    assert heights[-1] < min(each.y for each in chart.axis) < max(each.y for each in chart.axis) < chart.height
    assert {box.height for box in chart.boxes} == {min(each.y for each in chart.axis) - 15}


def test_a_row_tells_its_whole_name_and_its_figures() -> None:
    name = "a" * 30 + "b" * 30
    mark, empty = ranges("t", [Range(name, (1.25, 3e7), (0.5, 2.0)), Range("z", None, None)]).marks
    assert f"{name}: before 1.25 to 3e+07, after 0.5 to 2" == mark.title
    assert "a" * 17 + "…" + "b" * 16 == mark.words[0].words
    assert ("z: all are 0", 0) == (empty.title, len(empty.lines))


def test_a_strip_has_a_bar_and_a_dot_for_each_channel_that_is_not_0() -> None:
    chart = strip("t", np.array([0.0, 4.0, 1.0]), np.array([2.0**20, 0.0, 1.0]), np.array([2.0**-20, 0.0, 1.0]))
    bars, dots = chart.marks[0].lines
    first, typical, most, last, *_ = numbers(bars.path)
    assert (2, 2) == (bars.path.count("M"), dots.path.count("M"))
    assert first < last
    assert most < typical  # the largest magnitude is at the top
    assert numbers(dots.path)[0] < last == numbers(dots.path)[3]


@pytest.mark.parametrize(("channels", "step"), [(1, 1), (10, 1), (11, 2), (64, 10), (512, 100), (2048, 500)])
def test_channels_are_numbered_in_round_steps(channels: int, step: int) -> None:
    ticks = list(charts._ticks(channels))
    assert list(range(0, channels, step)) == ticks


def test_a_chart_is_a_picture_with_a_title() -> None:
    pytest.importorskip("jinja2")
    template = page._environment().get_template("charts.html")
    svg = str(template.module.drawn(ranges("weights & <more>", [Range("<c>", (1.0, 2.0), None)])))
    assert 'role="img">' in svg
    assert "<title>weights &amp; &lt;more&gt;</title>" in svg
    assert "<title>&lt;c&gt;: before 1 to 2</title>" in svg
