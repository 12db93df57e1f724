"""The largest magnitudes that are expected of a net's activations, and which of them overflow in half precision."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Set

import numpy as np

from ..blobs.blob import ArrayBlob
from ..blobs.scaled import Layout
from ..half.rounding import OVERFLOW
from ..net.graph import Value
from ..net.scale_groups import Groups
from .descent import Block, Side


class _Peak(NamedTuple):
    """The group of each channel of a value, and its largest magnitude."""

    groups: np.ndarray
    largest: np.ndarray


class Peaks:
    """The expected peaks. largest: by value, the largest magnitudes of the channels on axis 1, or one for all."""

    def __init__(self, groups: Groups, largest: Mapping[Value, np.ndarray]) -> None:
        self._of = {value: _peak(groups, value, magnitudes) for value, magnitudes in largest.items()}

    def blocks(self) -> List[Block]:
        """The peaks that change with their groups, as blocks for the descent."""
        return [
            Block(ArrayBlob(peak.largest), Side(Layout(1, 1, peak.largest.size, 1), peak.groups))
            for peak in self._of.values()
            if peak.groups.any()
        ]

    def overflowing(self, powers: np.ndarray) -> Dict[Value, np.ndarray]:
        """By value, the channels that overflow if the groups have these powers; only values that have any."""
        beyond = {value: np.flatnonzero(_scaled(peak, powers) >= OVERFLOW) for value, peak in self._of.items()}
        return {value: channels for value, channels in beyond.items() if channels.size}

    def groups_of(self, overflowing: Mapping[Value, np.ndarray]) -> Set[int]:
        """The groups of these channels, except group 0."""
        groups = [self._of[value].groups[channels] for value, channels in overflowing.items()]
        return set(np.concatenate(groups).tolist()) - {0} if groups else set()


def _peak(groups: Groups, value: Value, largest: np.ndarray) -> _Peak:
    channels = groups.values.get(value)
    if channels is None:
        return _Peak(np.zeros(largest.size, np.int64), largest)
    if channels.axis != 1 or channels.labels.size != largest.size:
        largest = np.full(channels.labels.size, largest.max())
    return _Peak(groups.of[channels.labels], largest)


def _scaled(peak: _Peak, powers: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = np.ldexp(peak.largest, powers[peak.groups])
    return scaled
