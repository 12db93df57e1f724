"""The layers and channels of a page in order of trouble, and their charts."""

from __future__ import annotations

from collections import Counter
from typing import AbstractSet, Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..folding.diagnosis import STATES, BlobChannels, Channel, Diagnosis
from ..folding.report import Report
from ..half.report import HalfReport, HalfRow
from ..ranges.expected import Activation
from .charts import Chart, Marked, Range, Strip, ranges, strip

# Rows of a chart that are shown first; the others are folded.
FIRST_ROWS = 24
STRIPS = 4
MOST_CHANNELS = 200  # rows of a table
WEIGHTS = "magnitude of the weights, without unit, on a scale of powers of two"
VALUES = "magnitude of the activations, without unit, on a scale of powers of two"


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
    """One layer before, with the layers that it absorbed, and after; None where it has no blobs. link: its id."""

    layer: str
    before: Optional[Sums]
    after: Optional[Sums]
    link: str

    @property
    def badness(self) -> Tuple[int, int]:
        """How many values do not stay finite, before or after; and how many become subnormal or 0."""
        both = [sums for sums in (self.before, self.after) if sums is not None]
        return sum(sums.overflow + sums.broken for sums in both), sum(sums.subnormal + sums.underflow for sums in both)


class ListedChannel(NamedTuple):
    """A channel in one of the states, and the id of its row."""

    row: HalfRow
    channel: Channel
    link: str


class LayerStrip(NamedTuple):
    layer: str
    picture: Strip


def of_fold(report: Report) -> List[LayerRow]:
    """The rows, the worst first. Absorbed layers count as part of their absorber, for comparison."""
    holders = {
        layer.name: rewrite.after.name
        for rewrite in (*report.changes.folded, *report.changes.converted)
        for layer in rewrite.before
    }
    return _rows(_by_layer(report.before, holders), _by_layer(report.after, {}))


def of_net(half: HalfReport) -> List[LayerRow]:
    """The rows of a net that does not change, the worst first."""
    return _rows({}, _by_layer(half, {}))


def _rows(before: Mapping[str, Sequence[HalfRow]], after: Mapping[str, Sequence[HalfRow]]) -> List[LayerRow]:
    was, now = ({name: sums_of(found) for name, found in side.items()} for side in (before, after))
    names = dict.fromkeys([*before, *after])
    rows = [LayerRow(name, was.get(name), now.get(name), f"layer-{place}") for place, name in enumerate(names)]
    return sorted(rows, key=lambda row: row.badness, reverse=True)


def _by_layer(half: HalfReport, holders: Mapping[str, str]) -> Dict[str, List[HalfRow]]:
    found: Dict[str, List[HalfRow]] = {}
    for row in half.rows:
        found.setdefault(holders.get(row.layer, row.layer), []).append(row)
    return found


def sums_of(rows: Iterable[HalfRow]) -> Sums:
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


def weight_charts(rows: Sequence[LayerRow]) -> List[Chart]:
    """A chart of the first rows, and one of the others."""
    title = "The magnitudes of the weights of each layer"
    parts = rows[:FIRST_ROWS], rows[FIRST_ROWS:]
    return [ranges(title, WEIGHTS, map(_range, part)) for part in parts if part]


def _range(row: LayerRow) -> Range:
    before, after = (None if sums is None or not sums.max_abs else _ends(sums) for sums in (row.before, row.after))
    return Range(row.layer, before, after, row.link)


def _ends(sums: Sums) -> Tuple[float, float]:
    return sums.min_nonzero or sums.max_abs, float("inf") if sums.broken else sums.max_abs


def listed(found: Diagnosis) -> List[ListedChannel]:
    """The channels in one of the states, the worst first."""
    channels = [
        ListedChannel(blob.row, channel, _link(blob, channel)) for blob in found.rows for channel in blob.channels
    ]
    return sorted(channels, key=_trouble)


def _link(blob: BlobChannels, channel: Channel) -> str:
    return f"channel-{blob.layer}-{blob.row.blob}-{channel.channel}"


def overflowing(found: Diagnosis) -> List[ListedChannel]:
    """The channels with values that are not finite in half precision, the worst first; reads only those."""
    worst = [(row, channel) for row, channel in found.worst if channel.state == "overflow"]
    channels = [ListedChannel(row, channel, f"before-{place}") for place, (row, channel) in enumerate(worst)]
    return sorted(channels, key=_trouble)


def _trouble(each: ListedChannel) -> Tuple[int, float, float]:
    return STATES.index(each.channel.state), each.channel.snr, -each.channel.max_abs


def strips(before: Optional[Diagnosis], after: Diagnosis, links: AbstractSet[str]) -> List[LayerStrip]:
    """The layers that lose most: by channels that overflow, are lost, weak or dead, then by values.

    before: the net before a fold, if there was one. links: the ids of the channels that have a row in a table.
    """
    layers: Dict[int, List[BlobChannels]] = {}
    for blob in after.rows:
        layers.setdefault(blob.layer, []).append(blob)
    worst = sorted(layers, key=lambda index: _loss(layers[index]), reverse=True)[:STRIPS]
    drawn = (_strip(before, after, layers[index], links) for index in worst if any(_loss(layers[index])))
    return [each for each in drawn if each is not None]


def _loss(blobs: Sequence[BlobChannels]) -> Tuple[int, ...]:
    states = Counter(channel.state for blob in blobs for channel in blob.channels)
    flushed = sum(blob.row.stats.underflow + blob.row.stats.subnormal for blob in blobs)
    return (*(states[state] for state in STATES), flushed)


def _strip(
    before: Optional[Diagnosis], after: Diagnosis, blobs: Sequence[BlobChannels], links: AbstractSet[str]
) -> Optional[LayerStrip]:
    first, *_ = blobs
    stats = after.weights(first.layer)
    if stats is None:
        return None
    earlier = None if before is None else before.weights(first.layer)
    marked = [Marked(each.channel, each.state, _told(each), _link(first, each)) for each in first.channels]
    marked = [each if each.link in links else each._replace(link="") for each in marked]
    typical = np.sqrt(stats.signal / np.maximum(stats.count, 1))
    was = np.zeros(stats.count.size) if earlier is None else earlier.max_abs
    name = first.row.layer
    return LayerStrip(name, strip(f"The weights of {name} by channel", was, stats.max_abs, typical, marked))


def _told(channel: Channel) -> str:
    return f"channel {channel.channel}: {channel.state}, up to {channel.max_abs:.4g}, {channel.snr:.1f} dB"


def activation_chart(rows: Sequence[Tuple[Activation, str]]) -> Optional[Chart]:
    """Of each of the first blobs, from its smallest channel to its largest one. rows: with the ids of their rows."""
    drawn = [(row, link) for row, link in rows if 0 < _largest(row) < np.inf][:FIRST_ROWS]
    title = "The magnitudes of activations"
    shown = [Range(row.layer or row.blob, None, _span(row), link) for row, link in drawn]
    return ranges(title, VALUES, shown) if shown else None


def by_size(activations: Iterable[Activation]) -> List[Tuple[Activation, str]]:
    """The activations with an id for each, the largest first."""
    ordered = sorted(activations, key=_largest, reverse=True)
    return [(row, f"values-{place}") for place, row in enumerate(ordered)]


def _largest(row: Activation) -> float:
    return float(row.range.magnitudes.max(initial=0.0))


def _span(row: Activation) -> Tuple[float, float]:
    magnitudes: Any = row.range.magnitudes
    return float(magnitudes[magnitudes > 0].min()), float(magnitudes.max())
