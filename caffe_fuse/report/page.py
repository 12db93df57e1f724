"""The HTML form of a report: one self-contained file. The template is page.html."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .. import __version__
from ..errors import InputError
from ..files.outputs import Written
from ..folding.diagnosis import STATES, BlobChannels, Channel, Diagnosis
from ..folding.report import Report
from ..half.report import HalfReport, HalfRow
from ..ranges.expected import Activation
from ..wording import counted
from .charts import Chart, Range, ranges, strip
from .cost_table import HEAD, cost_rows

STRIPS = 4
SHOWN = 8  # channels of a blob, and blobs
# Rows of the chart that is shown first; the chart of all rows is folded.
FIRST_ROWS = 24


class Sums(NamedTuple):
    """What half precision does to all blobs of a layer, or of a net. broken: how many values are NaN or infinite."""

    count: int  # type: ignore[assignment]  # hides tuple.count
    min_nonzero: float
    max_abs: float
    overflow: int
    broken: int
    subnormal: int
    underflow: int
    max_relative_error: float


class LayerRow(NamedTuple):
    """One layer before, with the layers that it absorbed, and after; None where it has no blobs."""

    layer: str
    before: Optional[Sums]
    after: Optional[Sums]

    @property
    def badness(self) -> Tuple[int, int]:
        """How many values do not stay finite, before or after; and how many become subnormal or 0."""
        both = [sums for sums in (self.before, self.after) if sums is not None]
        return sum(sums.overflow + sums.broken for sums in both), sum(sums.subnormal + sums.underflow for sums in both)


class ListedChannels(NamedTuple):
    """Channels of one blob, the worst first; more: how many are not shown."""

    blob: BlobChannels
    channels: Sequence[Channel]
    more: int


class Strip(NamedTuple):
    layer: str
    picture: Chart
    listed: Sequence[ListedChannels]


def to_html(report: Report, outputs: Sequence[Written]) -> str:
    """The page of a fold. Raises InputError if the extra `report` is not installed."""
    rows = _rows(report)
    first = _worst(rows)
    files = [report.typed.files, [output.temporary for output in outputs]] if outputs else ()
    content: Dict[str, Any] = {
        "version": __version__,
        "report": report,
        "outputs": [output.path for output in outputs],
        "cost_head": HEAD,
        "cost": cost_rows(report.savings, files, every_type=True),
        "rows": rows,
        "before": _sums(report.before.rows),
        "after": _sums(report.after.rows),
        "first_picture": _weights_picture(first) if first else None,
        "strips": _strips(report),
        "outside": _outside(report.before_channels),
        "states": report.after_channels.states,
        "activations": _activations_picture(report),
        "seen": any(row.seen for row in report.activations.after),
        "whole_picture": _weights_picture(rows) if len(first) < len(rows) else None,
    }
    return str(_environment().get_template("page.html").render(content))


def _environment() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise InputError("the HTML report needs jinja2", remedy="pip install 'caffe-fuse[report]'") from error
    environment = Environment(
        loader=PackageLoader("caffe_fuse.report", "."),
        autoescape=True,  # names of layers and blobs are arbitrary text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = "{:.4g}".format
    environment.filters["thousands"] = "{:,}".format
    environment.filters["counted"] = counted
    return environment


def _rows(report: Report) -> List[LayerRow]:
    """The rows in the order of the net before. Absorbed layers count as part of their absorber, for comparison."""
    holders = {
        layer.name: rewrite.after.name
        for rewrite in (*report.changes.folded, *report.changes.converted)
        for layer in rewrite.before
    }
    before, after = _by_layer(report.before, holders), _by_layer(report.after, {})
    return [
        LayerRow(name, _sums(before[name]) if name in before else None, _sums(after[name]) if name in after else None)
        for name in dict.fromkeys([*before, *after])
    ]


def _by_layer(half: HalfReport, holders: Mapping[str, str]) -> Dict[str, List[HalfRow]]:
    found: Dict[str, List[HalfRow]] = {}
    for row in half.rows:
        found.setdefault(holders.get(row.layer, row.layer), []).append(row)
    return found


def _sums(rows: Iterable[HalfRow]) -> Sums:
    stats = [row.stats for row in rows]
    return Sums(
        count=sum(each.count for each in stats),
        min_nonzero=min((each.min_nonzero for each in stats if each.min_nonzero), default=0.0),
        max_abs=max((each.max_abs for each in stats), default=0.0),
        overflow=sum(each.overflow for each in stats),
        broken=sum(each.nan + each.inf for each in stats),
        subnormal=sum(each.subnormal for each in stats),
        underflow=sum(each.underflow for each in stats),
        max_relative_error=max((each.max_relative_error for each in stats), default=0.0),
    )


def _worst(rows: Sequence[LayerRow]) -> List[LayerRow]:
    """The layers that lose most, in the order of the net."""
    chosen = {row.layer for row in sorted(rows, key=lambda row: row.badness, reverse=True)[:FIRST_ROWS]}
    return [row for row in rows if row.layer in chosen]


def _strips(report: Report) -> List[Strip]:
    """The layers that lose most after the fold: by channels that overflow, are lost, weak or dead, then by values."""
    layers: Dict[int, List[BlobChannels]] = {}
    for blob in report.after_channels.rows:
        layers.setdefault(blob.layer, []).append(blob)
    worst = sorted(layers, key=lambda index: _loss(layers[index]), reverse=True)[:STRIPS]
    strips = [_strip(report, index, layers[index]) for index in worst if any(_loss(layers[index]))]
    return [strip for strip in strips if strip is not None]


def _loss(blobs: Sequence[BlobChannels]) -> Tuple[int, ...]:
    states = Counter(channel.state for blob in blobs for channel in blob.channels)
    flushed = sum(blob.row.stats.underflow + blob.row.stats.subnormal for blob in blobs)
    return (*(states[state] for state in STATES), flushed)


def _strip(report: Report, index: int, blobs: Sequence[BlobChannels]) -> Optional[Strip]:
    before, after = report.before_channels.weights(index), report.after_channels.weights(index)
    if after is None:
        return None
    typical = np.sqrt(after.signal / np.maximum(after.count, 1))
    earlier = np.zeros(after.count.size) if before is None else before.max_abs
    picture = strip(f"The weights of {blobs[0].row.layer} by channel", earlier, after.max_abs, typical)
    return Strip(blobs[0].row.layer, picture, [_listed(blob) for blob in blobs if blob.channels])


def _listed(blob: BlobChannels) -> ListedChannels:
    worst = sorted(blob.channels, key=lambda each: (STATES.index(each.state), each.snr, -each.max_abs))
    return ListedChannels(blob, worst[:SHOWN], len(worst) - len(worst[:SHOWN]))


def _outside(found: Diagnosis) -> List[ListedChannels]:
    """The blobs with values that are not finite in half precision, those with the most such channels first."""
    bad = [
        blob._replace(channels=tuple(channel for channel in blob.channels if channel.state == "overflow"))
        for blob in found.rows
    ]
    return [_listed(blob) for blob in sorted(bad, key=lambda blob: -len(blob.channels)) if blob.channels][:SHOWN]


def _weights_picture(rows: Sequence[LayerRow]) -> Chart:
    return ranges("The magnitudes of the weights of each layer before and after the fold", [*map(_range, rows)])


def _activations_picture(report: Report) -> Optional[Chart]:
    """The chart of activations: of each of the largest blobs, from its smallest channel to its largest one."""
    largest = {id(row): float(row.range.magnitudes.max(initial=0.0)) for row in report.activations.after}
    known = [row for row in report.activations.after if 0 < largest[id(row)] < np.inf]
    chosen = sorted(known, key=lambda row: -largest[id(row)])[:FIRST_ROWS]
    rows = [Range(row.layer or row.blob, None, _span(row)) for row in known if row in chosen]
    return ranges("The magnitudes of activations after the fold", rows) if rows else None


def _span(row: Activation) -> Tuple[float, float]:
    magnitudes = row.range.magnitudes
    return float(magnitudes[magnitudes > 0].min()), float(magnitudes.max())


def _range(row: LayerRow) -> Range:
    return Range(row.layer, *(None if sums is None or not sums.max_abs else _ends(sums) for sums in row[1:]))


def _ends(sums: Sums) -> Any:
    return sums.min_nonzero or sums.max_abs, float("inf") if sums.broken else sums.max_abs
