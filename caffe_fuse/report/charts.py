"""The charts of the HTML report, as SVG by matplotlib. Their colours come from the page, which is light or dark.

Magnitudes are on a logarithmic scale of base 2, as the bounds of the classes of half precision are powers of two.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError
from ..half.rounding import LARGEST, SMALLEST_NORMAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST_SUBNORMAL = 2.0**-24
LEFT_END, RIGHT_END = 2.0**-34, 2.0**28  # magnitudes beyond are drawn at the end
TICKS, TICK_LABELS = [-24, -14, 0, 16], ["2⁻²⁴", "2⁻¹⁴", "1", "65504"]
LONGEST_LABEL = 34
ROW_INCHES = 0.24

_BANDS = (
    ("lost", LEFT_END, SMALLEST_SUBNORMAL),
    ("subnormal", SMALLEST_SUBNORMAL, SMALLEST_NORMAL),
    ("normal", SMALLEST_NORMAL, LARGEST),
    ("overflow", LARGEST, RIGHT_END),
)
# Only what the page does not set: no date, and identifiers that are the same in every run.
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "caffe_fuse", "font.size": 9, "font.family": "sans-serif"}


class Range(NamedTuple):
    """A row of the range chart. before, after: smallest and largest magnitude, None if there are none."""

    label: str
    before: Optional[Tuple[float, float]]
    after: Optional[Tuple[float, float]]


def ranges(rows: Sequence[Range]) -> str:
    """One row per layer, from its smallest to its largest magnitude, before and after, over the range of fp16."""
    figure, axes = _figure(8.4, ROW_INCHES * len(rows) + 0.7)
    _bands(axes.axvspan)
    axes.set_xlim(np.log2(LEFT_END), np.log2(RIGHT_END))
    axes.set_xticks(TICKS)
    axes.set_xticklabels(TICK_LABELS)
    _bare(axes)
    for name, offset in (("before", -0.2), ("after", 0.2)):
        drawn = [(place, getattr(row, name)) for place, row in enumerate(rows) if getattr(row, name) is not None]
        if drawn:
            places = [place + offset for place, _ in drawn]
            ends = _powers([pair for _, pair in drawn])
            lines = axes.hlines(places, ends[:, 0] - 0.15, ends[:, 1] + 0.15, linewidth=3.5)
            lines.set_gid(name)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels([_shortened(row.label) for row in rows], parse_math=False)
    figure.subplots_adjust(left=0.31, right=0.985, bottom=0.42 / figure.get_figheight(), top=1 - 0.06 / 8)
    return _svg(figure)


def strip(before: np.ndarray, after: np.ndarray, typical: np.ndarray) -> str:
    """One layer by channel: the largest magnitude before, and the range after from the typical to the largest one.

    All float64 (channels,); 0 where all elements of a channel are 0.
    """
    figure, axes = _figure(8.4, 1.9)
    _bands(axes.axhspan)
    channels = np.arange(after.size)
    drawn = after > 0
    width = max(0.5, min(8.0, 380 / max(after.size, 1)))
    lines = axes.vlines(channels[drawn], _powers(typical[drawn]) - 0.3, _powers(after[drawn]) + 0.3, linewidth=width)
    lines.set_gid("after")
    # The page sets the colour of a dot's fill, not of its edge.
    dots = axes.scatter(channels[before > 0], _powers(before[before > 0]), s=max(2.0, width * 4), edgecolors="none")
    dots.set_gid("before")
    axes.set_xlim(-1, max(after.size, 1))
    axes.set_xticks([place for place in axes.get_xticks() if place in channels])
    axes.set_ylim(np.log2(LEFT_END), np.log2(RIGHT_END))
    axes.set_yticks(TICKS)
    axes.set_yticklabels(TICK_LABELS)
    _bare(axes)
    figure.subplots_adjust(left=0.09, right=0.985, bottom=0.14, top=0.96)
    return _svg(figure)


def _figure(width: float, height: float) -> Tuple[Figure, Axes]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(f"the HTML report needs {error.name}", remedy="pip install 'caffe-fuse[report]'") from error
    figure = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def _bands(draw: Any) -> None:
    """Draws the classes of half precision as bands."""
    for name, start, end in _BANDS:
        first, last = np.log2([start, end])
        draw(first, last, linewidth=0).set_gid(f"band-{name}")


def _bare(axes: Axes) -> None:
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _powers(magnitudes: Any) -> Any:
    return np.log2(np.clip(np.asarray(magnitudes, np.float64), LEFT_END, RIGHT_END))


def _shortened(label: str) -> str:
    half = LONGEST_LABEL // 2
    return label if len(label) <= LONGEST_LABEL else f"{label[:half]}…{label[1 - half :]}"


def _svg(figure: Figure) -> str:
    """The chart as an element of a page: without a header, and as wide as its container."""
    import matplotlib

    buffer = io.StringIO()
    # Text is drawn with the fonts of the browser, which may have glyphs that are missing here.
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure.patch.set_visible(False)
        for axes in figure.axes:
            axes.patch.set_visible(False)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    # A page has several charts, and an id must be unique in it.
    text = re.sub(r'id="(before|after|band-\w+)"', r'class="\1"', text)
    start, end = text.index("<svg"), text.index(">", text.index("<svg"))
    return re.sub(r' (width|height)="[^"]*"', "", text[start:end]) + text[end:]


__all__: List[str] = ["Range", "ranges", "strip"]
