"""What half precision does to each channel of a blob: counts, margin, rounding error and signal-to-noise ratio.

`measures` covers whole blobs as they are read; this module examines the few blobs that need it, under any policy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..blobs.blob import Blob
from ..blobs.scaled import Layout
from ..net.graph import Layer
from .classes import CLASSES, classify
from .rounding import IEEE, LARGEST, SMALLEST_NORMAL, HalfPolicy, rounded

POOR = 40.0  # dB: below this a channel is lost to half precision
GOOD = 60.0  # dB: the SNR of a channel of normal fp16 values
# A share below this one in a sum does no harm: rounding the sum itself to fp16 is as far off.
NO_EFFECT = 10 ** (-GOOD / 10)


def layout_of(layer: Layer, index: int) -> Optional[Layout]:
    """The layout of the output channels in a blob of a layer; None if it has none, or none that is known."""
    layer_type = layer.layer_type
    if layer_type is not None and layer_type.absorb is not None and index == 0:
        return layer_type.absorb.layout(layer.parameter, layer.blobs[0].shape)
    if layer_type is not None and (layer_type.absorb is not None or layer_type.scales):
        return Layout(1, 1, layer.blobs[index].count, 1)
    return None


def channels_of(layer: Layer, index: int) -> Optional[Layout]:
    """The layout of the channels of any blob: one element each, unless it holds weights; None if not known."""
    blob = layer.blobs[index]
    if layer.layer_type is not None and layer.layer_type.absorb is not None and index == 0:
        return layer.layer_type.absorb.layout(layer.parameter, blob.shape)
    return Layout(1, 1, blob.count, 1) if blob.count in (1, max(blob.shape, default=1)) else None


@dataclass(frozen=True)
class ChannelStats:
    """Arrays (channels,): counts as int64, the others float64. Counted is the result under the policy.

    overflow ... inf: the classes of classes.py. max_abs: the largest finite magnitude.
    max_relative_error: over the elements that are finite and do not overflow.
    signal, noise: sums of squares of the finite elements and of their rounding errors.
    """

    count: np.ndarray
    overflow: np.ndarray
    clipped: np.ndarray
    subnormal: np.ndarray
    underflow: np.ndarray
    zeros: np.ndarray
    nan: np.ndarray
    inf: np.ndarray
    max_abs: np.ndarray
    max_relative_error: np.ndarray
    signal: np.ndarray
    noise: np.ndarray

    @property
    def margin(self) -> np.ndarray:
        """How many powers of two each channel could grow by: negative if it exceeds 65504, inf if it is all 0."""
        with np.errstate(divide="ignore"):
            margin: np.ndarray = np.floor(np.log2(LARGEST / self.max_abs))
        return margin

    @property
    def snr(self) -> np.ndarray:
        """Signal to noise in dB: inf where nothing is lost, -inf where all is, or where a value is not finite."""
        return decibels(self.signal, np.where(self.nan + self.inf > 0, np.inf, self.noise))

    @property
    def empty(self) -> np.ndarray:
        """Channels in which every element is 0: dead in any precision."""
        empty: np.ndarray = self.zeros == self.count
        return empty


def decibels(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """10 log10(signal / noise), inf without noise."""
    with np.errstate(all="ignore"):
        ratio: np.ndarray = np.where(noise == 0, np.inf, 10 * np.log10(signal / noise))
    return ratio


@np.errstate(all="ignore")  # converting a signalling NaN sets the invalid flag
def by_channel(
    blob: Blob, layout: Layout, policy: HalfPolicy = IEEE, chosen: Optional[np.ndarray] = None
) -> ChannelStats:
    """The stats of the channels of a blob, which is read once. Raises InputError if it cannot be read.

    chosen: bool (channels,); a channel where it is False is skipped, and its stats are all 0.
    """
    sums = {name: np.zeros(layout.channels, np.int64 if name in _COUNTS else np.float64) for name in _NAMES}
    position = 0
    for chunk in blob.chunks():
        starts, channels = _runs(layout, position, chunk.size)
        position += chunk.size
        if chosen is not None:
            chunk, starts, channels = _only(chosen[channels], chunk, starts, channels)
        if chunk.size:
            _add(sums, chunk, _Runs(starts, channels, layout.channels), policy)
    return ChannelStats(**sums)


def _runs(layout: Layout, position: int, size: int) -> Tuple[np.ndarray, np.ndarray]:
    """The starts of the runs of one channel in the `size` elements from a flat position on, and their channels."""
    kernel = layout.simplified().kernel
    starts = np.arange(-(position % kernel), size, kernel)
    starts[0] = 0
    return starts, layout.channel(starts + position)


def _only(
    wanted: np.ndarray, chunk: np.ndarray, starts: np.ndarray, channels: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The wanted runs alone, joined."""
    lengths = np.diff(np.append(starts, chunk.size))
    kept = lengths[wanted]
    return chunk[np.repeat(wanted, lengths)], np.cumsum(kept) - kept, channels[wanted]


class _Runs(NamedTuple):
    """Which elements belong to which channel. Summing run by run first keeps the cost of an element low."""

    starts: np.ndarray
    channels: np.ndarray
    total: int

    def of(self, places: np.ndarray) -> np.ndarray:
        """The channels of the elements at these places."""
        channels: np.ndarray = self.channels[np.searchsorted(self.starts, places, side="right") - 1]
        return channels

    def sums(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.channels, np.add.reduceat(values, self.starts), self.total)

    def largest(self, values: np.ndarray) -> np.ndarray:
        largest = np.zeros(self.total)
        np.maximum.at(largest, self.channels, np.maximum.reduceat(values, self.starts))
        return largest


def _add(sums: Dict[str, np.ndarray], values: np.ndarray, runs: _Runs, policy: HalfPolicy) -> None:
    """Adds some values to the sums."""
    narrow = np.abs(values, dtype=np.float32 if values.dtype == np.float16 else values.dtype)
    # They are rounded in their own type, which takes half the time, and judged in float64.
    fp16, magnitude = (array.astype(np.float64) for array in (rounded(narrow, policy), narrow))
    with np.errstate(all="ignore"):
        # A value in the range of normal fp16 stays normal: only the others can be in a class, or not be finite.
        odd = np.flatnonzero(~((magnitude >= SMALLEST_NORMAL) & (magnitude <= LARGEST)))
        classes = classify(magnitude[odd], fp16[odd])
        channels = runs.of(odd)
        for name, chosen in classes.items():
            sums[name] += np.bincount(channels[chosen], minlength=runs.total)
        broken = classes["nan"] | classes["inf"]
        magnitude[odd[broken]] = fp16[odd[broken]] = 0
        error = np.subtract(fp16, magnitude, out=fp16)
        np.abs(error, out=error)
        relative = error / magnitude
        relative[odd[broken | classes["zeros"] | classes["overflow"]]] = 0
        lengths = np.diff(np.append(runs.starts, values.size))
        sums["count"] += np.bincount(runs.channels, lengths, runs.total).astype(np.int64)
        for name, amounts in (("max_abs", magnitude), ("max_relative_error", relative)):
            np.maximum(sums[name], runs.largest(amounts), out=sums[name])
        for name, amounts in (("signal", magnitude), ("noise", error)):
            sums[name] += runs.sums(np.square(amounts, out=amounts))


_NAMES = tuple(field.name for field in fields(ChannelStats))
_COUNTS = frozenset({"count", *CLASSES})
