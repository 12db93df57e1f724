"""Where the charts draw what: places by hand, and what a reader without a pointer or eyes gets."""

from __future__ import annotations

import re
from typing import List

import numpy as np
import pytest

from caffe_fuse.page import charts, pages
from caffe_fuse.page.charts import Marked, Quality, Range, qualities, ranges, shares, strip


def numbers(path: str) -> List[float]:
    return [float(number) for number in re.findall(r"[\d.]+", path)]


def drawn(name: str, chart: object) -> str:
    pytest.importorskip("jinja2")
    template = pages._environment().get_template("charts.html")
    return str(getattr(template.module, name)(chart))


def test_a_bar_goes_from_the_smallest_magnitude_to_the_largest_one() -> None:
    chart = ranges("t", "a", [Range("c", (2.0**-34, 2.0**28), (2.0**-3, 2.0**5)), Range("d", None, (1.0, 1.0))])
    (before, after), (only,) = (row.bars for row in chart.rows)
    assert ("before", "after", "after") == (before.name, after.name, only.name)
    assert (0, 100) == (before.start, before.end)
    assert 50 == after.start
    assert pytest.approx(100 * 39 / 62, abs=0.01) == after.end
    assert [only.start] == [tick.place for tick in chart.ticks if tick.words == "1"]
    assert only.start + charts.LEAST == only.end
    assert {""} == {words for bar in (before, after, only) for words in (bar.before, bar.after)}


def test_what_leaves_the_chart_has_an_arrow_and_its_value() -> None:
    chart = ranges("t", "a", [Range("c", (1e-30, np.inf), (1.0, 3e9))])
    before, after = chart.rows[0].bars
    assert (0, 100) == (before.start, before.end)
    assert ("← 1e-30", "infinite →") == (before.before, before.after)
    assert ("", "3e+09 →") == (after.before, after.after)
    svg = drawn("drawn", chart)
    assert ">← 1e-30</text>" in svg
    assert 'text-anchor="end" y="12">infinite →</text>' in svg


def test_the_bands_are_the_classes_of_half_precision_side_by_side() -> None:
    bands = ranges("t", "a", []).bands
    assert ["lost", "subnormal", "normal", "overflow"] == [band.name for band in bands]
    assert [0, *(tick.place for tick in ranges("t", "a", []).ticks if tick.words != "1")] == [
        each.start for each in bands
    ]
    assert [*(band.start for band in bands[1:]), 100] == [band.end for band in bands]


def test_a_row_tells_its_whole_name_and_its_figures() -> None:
    name = "a" * 30 + "b" * 30
    row, empty = ranges("t", "a", [Range(name, (1.25, 3e7), (0.5, 2.0)), Range("z", None, None)]).rows
    assert f"{name}: before 1.25 to 3e+07, after 0.5 to 2" == row.told
    assert "a" * 15 + "..." + "b" * 16 == row.label
    assert ("z: all are 0", 0) == (empty.told, len(empty.bars))


def test_an_snr_is_a_bar_with_its_value_and_without_one_a_reason() -> None:
    chart = qualities(
        "t",
        [
            Quality("a", "before", 60.0),
            Quality("b", "after", np.inf),
            Quality("c", "after", np.nan, "none"),
            Quality("d", "after", -5.0),
            Quality("e", "after", 150.0),
        ],
    )
    bars = [row.bars[0] for row in chart.rows]
    assert [50, 100, charts.LEAST, charts.LEAST, 100] == [bar.end for bar in bars]
    assert ["60.0 dB", "exact →", "none", "-5.0 dB", "150.0 dB →"] == [bar.after for bar in bars]
    assert [bars[0].end] == [tick.place for tick in chart.ticks if tick.words == "60 dB"]


def test_a_share_beyond_twice_what_is_allowed_leaves_the_chart() -> None:
    chart = shares("t", "a", [("x", 0.5, "l"), ("y", 30.0, ""), ("z", np.nan, "")])
    bars = [row.bars[0] for row in chart.rows]
    assert [(25, ""), (100, "3,000 % →"), (100, "not finite →")] == [(bar.end, bar.after) for bar in bars]
    assert 25 == chart.ticks[0].place
    assert "x: 50 % of what is allowed" == chart.rows[0].told


def test_a_strip_has_a_bar_and_a_dash_for_each_channel_that_is_not_0() -> None:
    before, after = np.array([0.0, 4.0, 1.0]), np.array([2.0**20, 0.0, 1.0])
    picture = strip("t", before, after, np.array([2.0**-20, 0.0, 1.0]), [])
    _, typical, most, _, last, _ = numbers(picture.bars)
    assert (2, 2, 3) == (picture.bars.count("M"), picture.dots.count("M"), picture.channels)
    assert most < typical  # the largest magnitude is at the top
    assert ["M1.1", "M2.1"] == re.findall(r"M[\d.]+", picture.dots)
    assert numbers(picture.dots)[1] < last - 1.5 == numbers(picture.dots)[4]
    assert ["2⁻²⁴", "2⁻¹⁴", "1", "65504"] == [
        tick.words for tick in sorted(picture.sides, key=lambda tick: -tick.place)
    ]


def test_a_channel_in_a_state_is_drawn_again_in_its_colour_with_a_link_to_its_row() -> None:
    marked = [Marked(0, "lost", "channel 0: <lost>", "row-0"), Marked(1, "dead", "channel 1: dead", "")]
    ones = np.array([1.0, 0.0])
    picture = strip("t", ones, ones, ones, marked)
    assert picture.bars == picture.marks[0].path
    assert "M1.5 150.0v-8" == picture.marks[1].path  # a channel of zeros has no bar
    svg = drawn("drawn_strip", picture)
    assert re.search(
        r'<a href="#row-0"><title>channel 0: &lt;lost&gt;</title><path class="lost" d="M0.5 \S+"/></a>', svg
    )
    assert re.search(r'<g><title>channel 1: dead</title><path class="dead" [^>]*/></g>', svg)


@pytest.mark.parametrize(("channels", "step"), [(1, 1), (10, 1), (11, 2), (64, 10), (512, 100), (2048, 500)])
def test_channels_are_numbered_in_round_steps(channels: int, step: int) -> None:
    ticks = list(charts._ticks(channels))
    assert list(range(0, channels, step)) == ticks


def test_a_row_leads_to_its_figures_and_is_read_aloud() -> None:
    svg = drawn("drawn", ranges("weights & <more>", "no <unit>", [Range("<c>", (1.0, 2.0), None, "layer-3")]))
    assert 'aria-label="weights &amp; &lt;more&gt;"' in svg
    assert '<a class="bars" href="#layer-3" title="&lt;c&gt;: before 1 to 2"><span>&lt;c&gt;</span>' in svg
    assert "<span>no &lt;unit&gt;</span>" in svg
