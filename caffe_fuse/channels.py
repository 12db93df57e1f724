"""What half precision makes of each channel of a blob: counts, margin, rounding error and signal-to-noise ratio.

`half` looks at whole blobs as they go by; this looks closer, at the few that need it, and under any policy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Dict, Iterable, List, Optional

import numpy as np

from .blob import Blob
from .rounding import IEEE, LARGEST, SMALLEST_NORMAL, HalfPolicy, rounded
from .scaled import Layout

POOR = 40.0  # dB: below this a channel is lost to half precision
GOOD = 60.0  # dB: what a channel of normal halves has


@dataclass(frozen=True)
class ChannelStats:
    """One number for each channel: counts as int64, the others float64. What counts is the result under the policy.

    overflow: finite, and become infinite, or the largest half where the policy saturates. clipped: between 65504 and
    that, and become 65504. subnormal: become subnormal halves. underflow: become 0 and were not. zeros: were 0.
    max_abs: the largest finite magnitude. max_relative_error: over what is finite and does not overflow.
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


def by_channel(
    blob: Blob, layout: Layout, policy: HalfPolicy = IEEE, chosen: Optional[np.ndarray] = None
) -> ChannelStats:
    """Reads the blob once. InputError when its numbers cannot be read.

    chosen: bool (channels,); where it is False the channel is not looked at, and has all numbers 0.
    """
    parts: List[Dict[str, np.ndarray]] = []
    position = 0
    for chunk in blob.chunks():
        channels = layout.channel(np.arange(position, position + chunk.size))
        position += chunk.size
        if chosen is not None:
            wanted = chosen[channels]
            chunk, channels = chunk[wanted], channels[wanted]
        parts.append(_sums(chunk.astype(np.float64), channels, layout.channels, policy))
    joined = {name: _joined(name, [part[name] for part in parts], layout.channels) for name in _NAMES}
    return ChannelStats(**joined)


def _sums(values: np.ndarray, channels: np.ndarray, count: int, policy: HalfPolicy) -> Dict[str, np.ndarray]:
    def number(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(channels[chosen], minlength=count)

    def total(numbers: np.ndarray) -> np.ndarray:
        return np.bincount(channels, weights=numbers, minlength=count)

    halves = np.abs(rounded(values, policy))
    with np.errstate(all="ignore"):
        magnitude = np.abs(values)
        finite = np.isfinite(magnitude)
        beyond = magnitude >= _overflow(policy)
        error = np.where(finite, np.abs(halves - magnitude), 0)
        relative = np.where(finite & ~beyond & (magnitude > 0), error / magnitude, 0)
        return {
            "count": number(np.ones(values.size, bool)),
            "overflow": number(finite & beyond),
            "clipped": number((magnitude > LARGEST) & ~beyond),
            "subnormal": number((halves > 0) & (halves < SMALLEST_NORMAL)),
            "underflow": number((halves == 0) & (magnitude > 0)),
            "zeros": number(magnitude == 0),
            "nan": number(np.isnan(values)),
            "inf": number(np.isinf(values)),
            "max_abs": _largest(np.where(finite, magnitude, 0), channels, count),
            "max_relative_error": _largest(relative, channels, count),
            "signal": total(np.where(finite, magnitude, 0) ** 2),
            "noise": total(error**2),
        }


def _overflow(policy: HalfPolicy) -> float:
    """The smallest magnitude that is not rounded to the largest half or a smaller one."""
    return 65536.0 if policy.rounding == "truncate" else 65520.0


def _largest(values: np.ndarray, channels: np.ndarray, count: int) -> np.ndarray:
    largest = np.zeros(count)
    np.maximum.at(largest, channels, values)
    return largest


def _joined(name: str, parts: Iterable[np.ndarray], count: int) -> np.ndarray:
    join = np.maximum if name.startswith("max_") else np.add
    kind = np.int64 if name in _COUNTS else np.float64
    result = np.zeros(count, kind)
    for part in parts:
        result = join(result, part)
    return result


_NAMES = tuple(field.name for field in fields(ChannelStats))
_COUNTS = frozenset(_NAMES[:8])
