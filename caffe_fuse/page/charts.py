"""The charts of the pages: what is drawn where. charts.html makes HTML and SVG of it, and page.css has the colours.

Places along a chart are in percent of its width, so that it fits any screen, and its words keep their size. Magnitudes
are on a logarithmic scale of base 2, as the bounds of the classes of half precision are powers of two.
"""

from __future__ import annotations

from math import isfinite, log2
from typing import Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..half.channels import GOOD, POOR
from ..half.rounding import LARGEST, SMALLEST_NORMAL
from ..report.lines import without_middle

SMALLEST_SUBNORMAL = 2.0**-24
LEFT_END, RIGHT_END = 2.0**-34, 2.0**28  # magnitudes beyond leave the chart
MAGNITUDES = ((SMALLEST_SUBNORMAL, "2⁻²⁴"), (SMALLEST_NORMAL, "2⁻¹⁴"), (1.0, "1"), (LARGEST, "65504"))
BEST = 120.0  # dB: an SNR beyond leaves the chart
LEAST = 0.4  # percent: the length of a bar of one magnitude
LONGEST_LABEL = 34
MOST_TICKS = 10  # of the channels
HEIGHT = 150.0  # of a strip

Ends = Tuple[float, float]


class Band(NamedTuple):
    """A part of the background. name: its class, which has a colour."""

    name: str
    start: float
    end: float


class Tick(NamedTuple):
    place: float
    words: str


class Bar(NamedTuple):
    """before, after: words at its ends, with an arrow where it leaves the chart."""

    name: str
    start: float
    end: float
    before: str = ""
    after: str = ""


class BarRow(NamedTuple):
    """told: shown where a pointer rests on it. link: the id of its row in a table, "" without one."""

    label: str
    told: str
    bars: Sequence[Bar]
    link: str = ""


class Chart(NamedTuple):
    """Rows of bars along one axis. title: what it shows, for those who do not see it."""

    title: str
    axis: str
    bands: Sequence[Band]
    ticks: Sequence[Tick]
    rows: Sequence[BarRow]


class Range(NamedTuple):
    """What a row of a range chart shows. before, after: smallest and largest magnitude, None if there are none."""

    label: str
    before: Optional[Ends]
    after: Optional[Ends]
    link: str = ""


class Mark(NamedTuple):
    """A channel that is in one of the states, drawn in the colour of its state."""

    name: str
    told: str
    path: str
    link: str


class Strip(NamedTuple):
    """One layer by channel. Widths are in channels; heights in units of the SVG, which is HEIGHT high.

    bars, dots: SVG paths, of the weights after and of the largest before. sides: the ticks of the magnitudes.
    """

    title: str
    channels: int
    bands: Sequence[Band]
    sides: Sequence[Tick]
    ticks: Sequence[Tick]
    bars: str
    dots: str
    marks: Sequence[Mark]


class Marked(NamedTuple):
    """A channel to be marked in a strip. state: one of those of a Channel. told, link: as of a BarRow."""

    channel: int
    state: str
    told: str
    link: str


def ranges(title: str, axis: str, rows: Iterable[Range]) -> Chart:
    """One row per layer, from its smallest to its largest magnitude, before and after, over the range of fp16."""
    ticks = [Tick(_across(magnitude), words) for magnitude, words in MAGNITUDES]
    return Chart(title, axis, _bands(_across), ticks, [_range(row) for row in rows])


def _range(row: Range) -> BarRow:
    given = [(name, ends) for name, ends in (("before", row.before), ("after", row.after)) if ends is not None]
    told = ", ".join(f"{name} {ends[0]:.3g} to {ends[1]:.3g}" for name, ends in given)
    bars = [_bar(name, *ends) for name, ends in given]
    return BarRow(without_middle(row.label, LONGEST_LABEL), f"{row.label}: {told or 'all are 0'}", bars, row.link)


def _bar(name: str, least: float, most: float) -> Bar:
    start, end = _across(least), _across(most)
    left = f"← {least:.2g}" if least < LEFT_END else ""
    right = f"{'infinite' if most == np.inf else f'{most:.2g}'} →" if most > RIGHT_END else ""
    return Bar(name, min(start, 100 - LEAST), max(end, start + LEAST), left, right)


class Quality(NamedTuple):
    """What a row of an SNR chart shows. snr: in dB; NaN without one. words: what is said in place of an SNR."""

    label: str
    name: str
    snr: float
    words: str = ""


def qualities(title: str, rows: Sequence[Quality]) -> Chart:
    """One row per output of each net: its SNR in half precision."""
    bands = [
        Band(name, 100 * low / BEST, 100 * high / BEST)
        for name, low, high in (("overflow", 0, POOR), ("subnormal", POOR, GOOD), ("normal", GOOD, BEST))
    ]
    ticks = [Tick(100 * level / BEST, f"{level} dB") for level in (20, 40, 60, 80, 100)]
    axis = "signal-to-noise ratio (SNR): 20 dB more is an error ten times smaller"
    return Chart(title, axis, bands, ticks, [_quality(row) for row in rows])


def _quality(row: Quality) -> BarRow:
    words = row.words or ("exact →" if row.snr == np.inf else f"{row.snr:.1f} dB{' →' if row.snr > BEST else ''}")
    reach = min(max(row.snr, 0.0), BEST) if isfinite(row.snr) or row.snr == np.inf else 0.0
    bars = [Bar(row.name, 0.0, max(LEAST, 100 * reach / BEST), "", words)]
    return BarRow(row.label, f"{row.label}: {words}", bars)


def shares(title: str, axis: str, rows: Iterable[Tuple[str, float, str]]) -> Chart:
    """One row for each label, share of what is allowed, and link. The chart ends at twice what is allowed."""
    bands = [Band("normal", 0, 50), Band("overflow", 50, 100)]
    ticks = [Tick(25.0 * place, f"{50 * place} %") for place in (1, 2, 3)]
    return Chart(title, axis, bands, ticks, [_used(*row) for row in rows])


def _used(label: str, share: float, link: str) -> BarRow:
    words = f"{100 * share:,.3g} %" if share < 1 else f"{100 * share:,.0f} %" if isfinite(share) else "not finite"
    reach = min(share, 2.0) if isfinite(share) else 2.0
    bar = Bar("after", 0.0, max(LEAST, 50 * reach), "", "" if share <= 2 else f"{words} →")
    return BarRow(without_middle(label, LONGEST_LABEL), f"{label}: {words} of what is allowed", [bar], link)


def strip(title: str, before: np.ndarray, after: np.ndarray, typical: np.ndarray, marked: Sequence[Marked]) -> Strip:
    """One layer by channel: the largest magnitude before, and the range after from the typical to the largest one.

    Arrays are float64 (channels,); 0 where all elements of a channel are 0.
    """
    bars = "".join(_upright(channel, typical, after) for channel in np.flatnonzero(after > 0).tolist())
    dots = "".join(f"M{channel}.1 {_down(before[channel]):.1f}h.8" for channel in np.flatnonzero(before > 0).tolist())
    marks = [Mark(each.state, each.told, _marked(each.channel, typical, after), each.link) for each in marked]
    sides = [Tick(_down(magnitude), words) for magnitude, words in MAGNITUDES]
    ticks = [Tick(100 * (channel + 0.5) / after.size, f"{channel}") for channel in _ticks(after.size)]
    return Strip(title, after.size, _bands(_down), sides, ticks, bars, dots, marks)


def _upright(channel: int, typical: np.ndarray, after: np.ndarray) -> str:
    return f"M{channel}.5 {_down(typical[channel]) + 1.5:.1f}V{_down(after[channel]) - 1.5:.1f}"


def _marked(channel: int, typical: np.ndarray, after: np.ndarray) -> str:
    """A channel of zeros is marked at the bottom."""
    return _upright(channel, typical, after) if after[channel] else f"M{channel}.5 {HEIGHT}v-8"


def _share(magnitude: float) -> float:
    """How far from the left end of the scale to the right one, 0 to 1."""
    power = log2(min(max(magnitude, LEFT_END), RIGHT_END))
    return (power - log2(LEFT_END)) / (log2(RIGHT_END) - log2(LEFT_END))


def _across(magnitude: float) -> float:
    return round(100 * _share(magnitude), 2)


def _down(magnitude: float) -> float:
    """The largest magnitudes are at the top."""
    return round(HEIGHT * (1 - _share(magnitude)), 1)


def _bands(place: Callable[[float], float]) -> List[Band]:
    limits = (LEFT_END, SMALLEST_SUBNORMAL, SMALLEST_NORMAL, LARGEST, RIGHT_END)
    names = ("lost", "subnormal", "normal", "overflow")
    return [Band(name, *sorted(map(place, ends))) for name, ends in zip(names, zip(limits, limits[1:]))]


def _ticks(channels: int) -> range:
    """The channels that are numbered: every 1, 2, 5, 10, 20 ..., so that there are not too many."""
    steps = (digit * 10**power for power in range(20) for digit in (1, 2, 5))
    return range(0, channels, next(step for step in steps if channels <= step * MOST_TICKS))
