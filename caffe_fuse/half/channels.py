"""What half precision makes of each channel of a blob: counts, margin, rounding error and signal-to-noise ratio.

`half` looks at whole blobs as they go by; this looks closer, at the few that need it, and under any policy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..blobs.blob import Blob
from ..blobs.scaled import Layout
from .classes import CLASSES, classify
from .rounding import IEEE, LARGEST, SMALLEST_NORMAL, HalfPolicy, rounded

POOR = 40.0  # dB: below this a channel is lost to half precision
GOOD = 60.0  # dB: what a channel of normal halves has


@dataclass(frozen=True)
class ChannelStats:
    """One number for each channel: counts as int64, the others float64. What counts is the result under the policy.

    overflow to inf: as in classes.py. max_abs: the largest finite magnitude.
    max_relative_error: over what is finite and does not overflow.
    signal, noise: sums of squares of the finite numbers and of their rounding errors.
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
        """By how many powers of two each channel could grow: negative where it is beyond 65504, inf where it is 0."""
        with np.errstate(divide="ignore"):
            margin: np.ndarray = np.floor(np.log2(LARGEST / self.max_abs))
        return margin

    @property
    def snr(self) -> np.ndarray:
        """Signal to noise in dB: inf where nothing is lost, -inf where all is, or a number does not stay finite."""
        return decibels(self.signal, np.where(self.nan + self.inf > 0, np.inf, self.noise))

    @property
    def empty(self) -> np.ndarray:
        """Channels in which every number is 0: dead, whatever the precision."""
        empty: np.ndarray = self.zeros == self.count
        return empty


def decibels(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """10 log10(signal / noise), inf without noise."""
    with np.errstate(all="ignore"):
        ratio: np.ndarray = np.where(noise == 0, np.inf, 10 * np.log10(signal / noise))
    return ratio


@np.errstate(all="ignore")  # a NaN that signals does so when its type changes
def by_channel(
    blob: Blob, layout: Layout, policy: HalfPolicy = IEEE, chosen: Optional[np.ndarray] = None
) -> ChannelStats:
    """Reads the blob once. InputError when its numbers cannot be read.

    chosen: bool (channels,); where it is False the channel is not looked at, and has all numbers 0.
    """
    found = {name: np.zeros(layout.channels, np.int64 if name in _COUNTS else np.float64) for name in _NAMES}
    position = 0
    for chunk in blob.chunks():
        starts, channels = _runs(layout, position, chunk.size)
        position += chunk.size
        if chosen is not None:
            chunk, starts, channels = _only(chosen[channels], chunk, starts, channels)
        if chunk.size:
            _add(found, chunk.astype(np.float64), _Runs(starts, channels, layout.channels), policy)
    return ChannelStats(**found)


def _runs(layout: Layout, position: int, size: int) -> Tuple[np.ndarray, np.ndarray]:
    """Where in the `size` numbers from a flat position on each run of one channel begins, and its channel."""
    kernel = layout.simplified().kernel
    starts = np.arange(-(position % kernel), size, kernel)
    starts[0] = 0
    return starts, layout.channel(starts + position)


def _only(
    wanted: np.ndarray, chunk: np.ndarray, starts: np.ndarray, channels: np.ndarray
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The runs that are wanted, moved together."""
    lengths = np.diff(np.append(starts, chunk.size))
    kept = lengths[wanted]
    return chunk[np.repeat(wanted, lengths)], np.cumsum(kept) - kept, channels[wanted]


class _Runs(NamedTuple):
    """Which numbers belong together: what is summed up run by run first costs little for each number."""

    starts: np.ndarray
    channels: np.ndarray
    total: int

    def of(self, places: np.ndarray) -> np.ndarray:
        """The channels of the numbers at these places."""
        channels: np.ndarray = self.channels[np.searchsorted(self.starts, places, side="right") - 1]
        return channels

    def sums(self, numbers: np.ndarray) -> np.ndarray:
        return np.bincount(self.channels, np.add.reduceat(numbers, self.starts), self.total)

    def largest(self, numbers: np.ndarray) -> np.ndarray:
        largest = np.zeros(self.total)
        np.maximum.at(largest, self.channels, np.maximum.reduceat(numbers, self.starts))
        return largest


def _add(found: Dict[str, np.ndarray], values: np.ndarray, runs: _Runs, policy: HalfPolicy) -> None:
    """Takes in some numbers, and overwrites them: fresh memory would cost more than the arithmetic."""
    magnitude = np.abs(values, out=values)
    halves = rounded(magnitude, policy)
    with np.errstate(all="ignore"):
        # A number within the normal halves becomes one of them: classes, and what counts nowhere, are looked for here.
        odd = np.flatnonzero(~((magnitude >= SMALLEST_NORMAL) & (magnitude <= LARGEST)))
        classes = classify(magnitude[odd], halves[odd])
        channels = runs.of(odd)
        for name, chosen in classes.items():
            found[name] += np.bincount(channels[chosen], minlength=runs.total)
        broken = classes["nan"] | classes["inf"]
        magnitude[odd[broken]] = halves[odd[broken]] = 0
        error = np.subtract(halves, magnitude, out=halves)
        np.abs(error, out=error)
        relative = error / magnitude
        relative[odd[broken | classes["zeros"] | classes["overflow"]]] = 0
        lengths = np.diff(np.append(runs.starts, values.size))
        found["count"] += np.bincount(runs.channels, lengths, runs.total).astype(np.int64)
        for name, numbers in (("max_abs", magnitude), ("max_relative_error", relative)):
            np.maximum(found[name], runs.largest(numbers), out=found[name])
        for name, numbers in (("signal", magnitude), ("noise", error)):
            found[name] += runs.sums(np.square(numbers, out=numbers))


_NAMES = tuple(field.name for field in fields(ChannelStats))
_COUNTS = frozenset({"count", *CLASSES})
