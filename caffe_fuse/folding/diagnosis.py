"""Which channels of a net lose in half precision: how much, whether it matters, and why."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .. import parallel
from ..blobs.scaled import Layout, ScaledBlob
from ..half import report as half
from ..half.channels import GOOD, NO_EFFECT, POOR, ChannelStats, by_channel, channels_of, decibels, layout_of
from ..half.classes import CLASSES
from ..half.lost_channels import losses, overflowing
from ..half.measures import Measures
from ..half.report import HalfReport, HalfRow
from ..half.rounding import LARGEST
from ..layers.layer_type import Refusal
from ..net.graph import Layer, Net

if TYPE_CHECKING:
    from ..half.influence import Effects
    from ..half.lost_channels import Loss
    from ..passes import Rewrite
    from ..rescale.rescale import Unrepaired

    Lost = Union[Loss, Unrepaired]

Place = Tuple[int, int]  # the index of a layer, and that of a blob in it
# The worst first. A channel is lost below 40 dB, weak below 60 dB, and dead if no layer that reads it depends on it.
STATES = ("overflow", "lost", "weak", "dead")


class Cause(NamedTuple):
    """What a fold did to the channels of a chain. gain: the magnitudes of the factors of the weights, by channel.

    batch_norm: the first one of the chain, None without one. variance: the stored variance of its bottom, by channel.
    """

    gain: np.ndarray
    batch_norm: Optional[str]
    variance: Optional[np.ndarray]


class Channel(NamedTuple):
    """One channel of a blob. state: one of STATES. The counts are those of ChannelStats.

    gain, batch_norm, variance: of its Cause, None if there is none.
    """

    channel: int
    state: str
    overflow: int
    clipped: int
    subnormal: int
    underflow: int
    zeros: int
    nan: int
    inf: int
    max_abs: float
    margin: float
    snr: float
    max_relative_error: float
    gain: Optional[float]
    batch_norm: Optional[str]
    variance: Optional[float]


class BlobChannels(NamedTuple):
    """One blob. layer: the layer's index. row: stats of the whole blob. channels: those that are in one of STATES."""

    layer: int
    row: HalfRow
    margin: float
    snr: float
    channels: Tuple[Channel, ...]


def analyse_net(net: Net, measures: Measures) -> HalfReport:
    """The half-range report on each blob of a net, in the order of `Diagnosis.rows`."""
    entries = [
        (layer.name, index, blob, channels_of(layer, index))
        for layer in net.layers
        for index, blob in enumerate(layer.blobs)
    ]
    return half.analyse(entries, measures)


def counted_states(channels: Iterable[Tuple[Any, Channel]]) -> Counter[str]:
    """How many channels are in each state. channels: with their layers; one in several blobs of a layer counts once."""
    distinct = dict.fromkeys((layer, each.channel, each.state) for layer, each in channels)
    return Counter(state for _, _, state in distinct)


def causes(rewrites: Iterable[Rewrite]) -> Dict[int, Cause]:
    """The causes by the index of each layer that took part in a fold."""
    by_layer: Dict[int, Cause] = {}
    for rewrite in rewrites:
        weights = rewrite.after.blobs[0]
        gain = np.abs(weights.factors if isinstance(weights, ScaledBlob) else weights.array().reshape(-1))
        norm = next((layer for layer in rewrite.before if layer.is_batch_norm), None)
        cause = Cause(gain, None, None) if norm is None else Cause(gain, norm.name, _variance(norm))
        by_layer.update({layer.index: cause for layer in rewrite.before})
    return by_layer


def _variance(norm: Layer) -> Optional[np.ndarray]:
    if norm.layer_type is None or norm.layer_type.statistics is None:
        return None
    parted = None if norm.layer_type.parted is None else norm.layer_type.parted(norm.parameter)
    parameter = norm.parameter if parted is None else parted[0]
    statistics = norm.layer_type.statistics(parameter, [blob.array() for blob in norm.blobs])
    return None if isinstance(statistics, Refusal) else statistics.variance


class Diagnosis:
    """The diagnosis of one net. Blobs are read on first use, and once.

    report: that of `analyse_net`. measures: of the blobs, as far as known. rewrites: those of the fold, for the causes.
    lost: what half precision loses in addition to values that are not finite, for `worst`; None if not determined yet.
    """

    def __init__(
        self,
        net: Net,
        report: HalfReport,
        measures: Measures,
        rewrites: Sequence[Rewrite],
        lost: Optional[Sequence[Lost]] = None,
    ) -> None:
        self._layers = {layer.index: layer for layer in net.layers}
        self._net = net
        self._report = report
        self._measures = measures
        self._rewrites = rewrites
        self._lost = lost
        places = [(layer.index, index) for layer in net.layers for index in range(len(layer.blobs))]
        self._places: Dict[Place, HalfRow] = dict(zip(places, report.rows))

    @cached_property
    def _why(self) -> Dict[int, Cause]:
        return causes(self._rewrites)

    @cached_property
    def rows(self) -> Tuple[BlobChannels, ...]:
        """All blobs, in the order of the net; reads those in which not every value is an fp16 value already."""
        stats: Dict[Place, ChannelStats] = {}

        def look(place: Place) -> None:
            stats[place] = self.stats(self._layers[place[0]], place[1])

        inexact = [place for place, row in self._places.items() if row.stats.worst is not None or row.stats.zeros]
        parallel.each(look, sorted(inexact, key=lambda place: -self._places[place].stats.count))
        return tuple(self._blob(place, stats.get(place)) for place in self._places)

    @cached_property
    def states(self) -> Counter[str]:
        """How many channels of the net are in each state; reads as much as `rows`."""
        return counted_states((blob.row.layer, channel) for blob in self.rows for channel in blob.channels)

    def weights(self, index: int) -> Optional[ChannelStats]:
        """The stats of a layer's weights by channel; None if its channels are not known."""
        layer = self._layers.get(index)
        if layer is None or not layer.blobs or layout_of(layer, 0) is None:
            return None
        return self.stats(layer, 0)

    def stats(self, layer: Layer, index: int, chosen: Optional[np.ndarray] = None) -> ChannelStats:
        """The stats of a blob by channel; as one channel if they are not known."""
        blob, policy = layer.blobs[index], self._report.policy
        return by_channel(blob, channels_of(layer, index) or Layout(1, 1, 1, blob.count), policy, chosen)

    @cached_property
    def worst(self) -> Tuple[Tuple[HalfRow, Channel], ...]:
        """The channels that overflow or are lost, the worst first; reads little if there are none."""
        suspects: List[Tuple[HalfRow, Channel]] = []
        for place, channels in self._suspects().items():
            layer, index = self._layers[place[0]], place[1]
            layout = channels_of(layer, index)
            if layout is not None and len(channels):
                chosen = np.zeros(layout.channels, bool)
                chosen[list(channels)] = True
                listed = self._listed(layer, index, self.stats(layer, index, chosen), chosen)
                suspects += [(self._places[place], channel) for channel in listed]
        bad = [(row, channel) for row, channel in suspects if channel.state in ("overflow", "lost")]
        return tuple(sorted(bad, key=lambda each: (STATES.index(each[1].state), each[1].snr, -each[1].max_abs)))

    def _suspects(self) -> Dict[Place, Sequence[int]]:
        if not self._places:
            return {}
        lost = self._lost
        if lost is None:
            lost = losses(self._net.layers, policy=self._report.policy, measures=self._measures)
        found: Dict[Place, Sequence[int]] = {
            (each.layer.index, each.blob): list(each.channels) for each in lost if isinstance(each.blob, int)
        }
        for place, row in self._places.items():
            layer = self._layers[place[0]]
            layout = channels_of(layer, place[1])
            if not row.stats.safe and layout is not None:
                known = found.get(place, ()) if layout_of(layer, place[1]) is not None else ()
                found[place] = sorted({*known, *overflowing(layer.blobs[place[1]], layout).tolist()})
        return found

    def _blob(self, place: Place, stats: Optional[ChannelStats]) -> BlobChannels:
        layer, index, row = self._layers[place[0]], place[1], self._places[place]
        with np.errstate(divide="ignore"):
            margin = float(np.floor(np.log2(np.float64(LARGEST) / row.stats.max_abs)))
        if stats is None:
            return BlobChannels(layer.index, row, margin, np.inf, ())
        noise = np.array(np.inf if row.stats.nan + row.stats.inf else stats.noise.sum())
        known = channels_of(layer, index) is not None
        listed = self._listed(layer, index, stats) if known else ()
        return BlobChannels(layer.index, row, margin, float(decibels(stats.signal.sum(), noise)), listed)

    def _listed(
        self, layer: Layer, index: int, stats: ChannelStats, chosen: Optional[np.ndarray] = None
    ) -> Tuple[Channel, ...]:
        states = self._states(layer, index, stats, chosen)
        why = self._why.get(layer.index)
        arrays = {name: getattr(stats, name) for name in (*CLASSES, "max_abs", "margin", "snr", "max_relative_error")}
        listed: List[Channel] = []
        for channel in np.flatnonzero(states != "").tolist():
            fields = {name: array[channel].item() for name, array in arrays.items()}
            gain, variance = (None, None) if why is None else (_at(why.gain, channel), _at(why.variance, channel))
            norm = None if why is None else why.batch_norm
            listed.append(Channel(channel, states[channel], **fields, gain=gain, batch_norm=norm, variance=variance))
        return tuple(listed)

    def _states(self, layer: Layer, index: int, stats: ChannelStats, chosen: Optional[np.ndarray]) -> np.ndarray:
        """The state of each channel, "" for those that are not listed."""
        states = np.full(stats.count.size, "", object)
        states[self._zeros(layer, index, stats)] = "dead"
        own = layout_of(layer, 0)
        is_known = own is not None and own.channels == stats.count.size
        broken = stats.overflow + stats.nan + stats.inf > 0
        quality = decibels(stats.signal, stats.noise)
        doubtful = (quality < GOOD) & ~broken
        if index and is_known and doubtful.any():  # a bias is judged together with the weights
            quality = decibels(stats.signal + self.stats(layer, 0, doubtful).signal, stats.noise)
        weak = np.flatnonzero((quality < GOOD) & ~broken)
        states[weak] = "weak"
        harm = share = np.full(weak.size, np.inf)
        if is_known and weak.size:
            harm, share = self._effects.of_errors(layer, weak), self._effects.of_values(layer, weak)
        states[weak[(quality[weak] < POOR) & (harm > NO_EFFECT)]] = "lost"
        states[weak[share <= NO_EFFECT]] = "dead"
        states[broken] = "overflow"
        if chosen is not None:
            states[~chosen] = ""
        return states

    @staticmethod
    def _zeros(layer: Layer, index: int, stats: ChannelStats) -> np.ndarray:
        """Which channels of a layer have only zeros, in the weights and in the bias."""
        if index or layout_of(layer, index) is None:
            return np.zeros(stats.count.size, bool)
        zeros = stats.empty
        for bias in layer.blobs[1:]:
            if bias.count == zeros.size:
                zeros = zeros & (bias.array().reshape(-1) == 0)
        return zeros

    @cached_property
    def _effects(self) -> Effects:
        from ..half.influence import Effects
        from ..net.scale_groups import grouped

        groups = grouped(self._net, (), frozenset(), frozenset())
        return Effects(self._net.layers, groups, self._report.policy)


def _at(values: Optional[np.ndarray], channel: int) -> Optional[float]:
    """The value of a channel; a single one applies to all."""
    if values is None or (values.size != 1 and channel >= values.size):
        return None
    return float(values[channel if values.size > 1 else 0])
