"""The charts of the HTML report: what is drawn where. charts.html makes SVG of it, and the page has the colours.

Magnitudes are on a logarithmic scale of base 2, as the bounds of the classes of half precision are powers of two.
Lengths are in units of the SVG, of which a chart is 840 wide.
"""

from __future__ import annotations

from math import log2
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..half.rounding import LARGEST, SMALLEST_NORMAL

SMALLEST_SUBNORMAL = 2.0**-24
LEFT_END, RIGHT_END = 2.0**-34, 2.0**28  # magnitudes beyond are drawn at the end
TICKS = ((SMALLEST_SUBNORMAL, "2⁻²⁴"), (SMALLEST_NORMAL, "2⁻¹⁴"), (1.0, "1"), (LARGEST, "65504"))
LONGEST_LABEL = 34
MOST_TICKS = 10  # of the channels

WIDTH, MARGIN = 840.0, 12.0
LABELS, ROW, AXIS = 252.0, 22.0, 40.0  # the width of the labels, the height of a row, and that of the axis below
STRIP_LABELS, STRIP = 84.0, 150.0
LEAST = 3.0  # the length of a bar of one magnitude

_BANDS = (
    ("lost", LEFT_END, SMALLEST_SUBNORMAL),
    ("subnormal", SMALLEST_SUBNORMAL, SMALLEST_NORMAL),
    ("normal", SMALLEST_NORMAL, LARGEST),
    ("overflow", LARGEST, RIGHT_END),
)


class Range(NamedTuple):
    """A row of the range chart. before, after: smallest and largest magnitude, None if there are none."""

    label: str
    before: Optional[Tuple[float, float]]
    after: Optional[Tuple[float, float]]


class Box(NamedTuple):
    """A rectangle. name: its class, which has a colour."""

    name: str
    x: float
    y: float
    width: float
    height: float


class Words(NamedTuple):
    """A line of text. anchor: of SVG, the part of it that is at x."""

    x: float
    y: float
    anchor: str
    words: str


class Lines(NamedTuple):
    """Lines of one colour. path: the commands of an SVG path. width: of each line."""

    name: str
    path: str
    width: float


class Mark(NamedTuple):
    """What belongs together. title: shown where a pointer rests on it."""

    title: str
    words: Sequence[Words]
    lines: Sequence[Lines]


class Chart(NamedTuple):
    """title: what the chart shows, for those who do not see it."""

    title: str
    height: float
    boxes: Sequence[Box]
    axis: Sequence[Words]
    marks: Sequence[Mark]


def ranges(title: str, rows: Sequence[Range]) -> Chart:
    """One row per layer, from its smallest to its largest magnitude, before and after, over the range of fp16."""
    scale = _Scale(LABELS, WIDTH - MARGIN)
    bottom = ROW * len(rows)
    boxes = [Box(name, scale.at(start), 0, scale.at(end) - scale.at(start), bottom) for name, start, end in _BANDS]
    axis = [Words(scale.at(magnitude), bottom + 15, "middle", label) for magnitude, label in TICKS]
    axis.append(Words((LABELS + WIDTH - MARGIN) / 2, bottom + 32, "middle", "magnitude"))
    marks = [_row(row, ROW * place, scale) for place, row in enumerate(rows)]
    return Chart(title, bottom + AXIS, boxes, axis, marks)


def _row(row: Range, top: float, scale: _Scale) -> Mark:
    lines: List[Lines] = []
    told: List[str] = []
    for name, ends, y in (("before", row.before, top + 7), ("after", row.after, top + 15)):
        if ends is not None:
            first, last = map(scale.at, ends)
            lines.append(Lines(name, f"M{_number(first - LEAST / 2)} {_number(y)}H{_number(last + LEAST / 2)}", 5))
            told.append(f"{name} {ends[0]:.3g} to {ends[1]:.3g}")
    words = [Words(LABELS - 8, top + 15, "end", _shortened(row.label))]
    return Mark(f"{row.label}: {', '.join(told) or 'all are 0'}", words, lines)


def strip(title: str, before: np.ndarray, after: np.ndarray, typical: np.ndarray) -> Chart:
    """One layer by channel: the largest magnitude before, and the range after from the typical to the largest one.

    All float64 (channels,); 0 where all elements of a channel are 0.
    """
    scale = _Scale(STRIP, 0)
    right = WIDTH - MARGIN
    boxes = [
        Box(name, STRIP_LABELS, scale.at(end), right - STRIP_LABELS, scale.at(start) - scale.at(end))
        for name, start, end in _BANDS
    ]
    pitch = (right - STRIP_LABELS) / after.size
    axis = [Words(STRIP_LABELS - 8, scale.at(magnitude) + 4, "end", label) for magnitude, label in TICKS]
    axis += [Words(_middle(channel, pitch), STRIP + 15, "middle", f"{channel}") for channel in _ticks(after.size)]
    axis.append(Words((STRIP_LABELS + right) / 2, STRIP + 32, "middle", "channel"))
    bars = "".join(
        f"M{_number(_middle(channel, pitch))} {_number(scale.at(typical[channel]) + LEAST / 2)}"
        f"V{_number(scale.at(after[channel]) - LEAST / 2)}"
        for channel in np.flatnonzero(after > 0).tolist()
    )
    dots = "".join(
        f"M{_number(_middle(channel, pitch))} {_number(scale.at(before[channel]))}h0"
        for channel in np.flatnonzero(before > 0).tolist()
    )
    width = max(0.7, min(10.0, 0.7 * pitch))
    lines = [Lines("after", bars, width), Lines("before dots", dots, max(2.0, min(6.0, width)))]
    return Chart(title, STRIP + AXIS, boxes, axis, [Mark("", (), [each for each in lines if each.path])])


class _Scale(NamedTuple):
    """The logarithmic scale of magnitudes. start, end: where its ends are."""

    start: float
    end: float

    def at(self, magnitude: float) -> float:
        power = log2(min(max(magnitude, LEFT_END), RIGHT_END))
        share = (power - log2(LEFT_END)) / (log2(RIGHT_END) - log2(LEFT_END))
        return round(self.start + share * (self.end - self.start), 1)


def _middle(channel: int, pitch: float) -> float:
    return STRIP_LABELS + (channel + 0.5) * pitch


def _ticks(channels: int) -> range:
    """The channels that are numbered: every 1, 2, 5, 10, 20 ..., so that there are not too many."""
    steps = (digit * 10**power for power in range(20) for digit in (1, 2, 5))
    return range(0, channels, next(step for step in steps if channels <= step * MOST_TICKS))


def _number(length: float) -> str:
    return f"{length:.1f}"


def _shortened(label: str) -> str:
    half = LONGEST_LABEL // 2
    return label if len(label) <= LONGEST_LABEL else f"{label[:half]}…{label[1 - half :]}"
