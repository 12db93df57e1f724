"""How much of what the layers behind it sum up is due to a channel: of its numbers, or of what they lose in half.

Estimated from the numbers alone, as if each sum that goes into a layer were of size 1 for each of its weights.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .channels import ChannelStats, by_channel
from .net import Layer
from .powers import Groups
from .rounding import IEEE, HalfPolicy
from .scaled import Layout


def layout_of(layer: Layer, number: int) -> Optional[Layout]:
    """Where a layer's blob has its output channels; None for one that has none, or none that is known here."""
    row = layer.row
    if row is not None and row.absorb is not None and number == 0:
        return row.absorb.layout(layer.parameter, layer.blobs[0].shape)
    if row is not None and (row.absorb is not None or row.name == "Scale"):
        return Layout(1, 1, layer.blobs[number].count, 1)
    return None


class Effects:
    """Of the channels of a net in groups; each answer is worked out when it is asked for, and kept."""

    def __init__(self, layers: Sequence[Layer], groups: Groups, policy: HalfPolicy = IEEE) -> None:
        self._policy = policy
        self._groups = groups
        self._layers = [layer for layer in layers if groups.blobs.get(layer.index) and layout_of(layer, 0) is not None]
        self._makes = {layer.index: self._chosen(layer, 0) for layer in self._layers}
        self._reads = {layer.index: self._chosen(layer, 1) for layer in self._layers}
        self._stats: Dict[int, List[ChannelStats]] = {}
        self._gains: Dict[int, np.ndarray] = {}

    def of_errors(self, layer: Layer, channels: np.ndarray) -> np.ndarray:
        """The largest share that the errors of each channel have in the energy of a sum; inf where nobody knows."""
        return self._shares(layer, channels, "noise")

    def of_numbers(self, layer: Layer, channels: np.ndarray) -> np.ndarray:
        """The same for what the channels themselves add."""
        return self._shares(layer, channels, "signal")

    def _shares(self, layer: Layer, channels: np.ndarray, kind: str) -> np.ndarray:
        shares = np.full(channels.size, np.inf)
        scalings = self._groups.blobs.get(layer.index)
        if not scalings:
            return shares
        own = self._groups.of[scalings[0][0].labels[channels]]
        with np.errstate(all="ignore"):
            energy = sum((getattr(stats, kind)[channels] for stats in self._statistics(layer)), np.zeros(channels.size))
            readers = [self._gain(other) for other in self._layers if self._reads[other.index][own].any()]
            if readers:
                known = own > 0
                shares[known] = (energy * np.max(readers, axis=0)[own])[known]
        return shares

    def _chosen(self, layer: Layer, side: int) -> np.ndarray:
        """Which groups, but for group 0, are those of the rows (0) or columns (1) of a layer's weights."""
        chosen = np.zeros(self._groups.size, bool)
        chosen[self._groups.of[self._groups.blobs[layer.index][0][side].labels]] = True
        chosen[0] = False
        return chosen

    def _statistics(self, layer: Layer) -> List[ChannelStats]:
        if layer.index not in self._stats:
            layouts = [layout_of(layer, number) for number in range(len(layer.blobs))]
            self._stats[layer.index] = [
                by_channel(blob, layout, self._policy)
                for blob, layout in zip(layer.blobs, layouts)
                if layout is not None
            ]
        return self._stats[layer.index]

    def _inputs(self, layer: Layer) -> np.ndarray:
        inputs: np.ndarray = self._groups.of[self._groups.blobs[layer.index][0][1].labels]
        return inputs

    def _gain(self, reader: Layer) -> np.ndarray:
        """For each group the largest share in a sum of the reader that energy 1 in a channel of it makes up."""
        if reader.index not in self._gains:
            rows, columns = (each.layout for each in self._groups.blobs[reader.index][0])
            sums = np.zeros(rows.channels)
            energy = self._energies(reader)
            for row, column, squares in _squares(reader, rows, columns):
                sums += np.bincount(row, weights=squares * energy[column], minlength=sums.size)
            largest = np.zeros(columns.channels)
            for row, column, squares in _squares(reader, rows, columns):
                with np.errstate(all="ignore"):
                    np.maximum.at(largest, column, np.where(squares > 0, squares / sums[row], 0))
            gains = np.zeros(self._groups.size)
            kernel = min(rows.kernel, columns.kernel)
            np.maximum.at(gains, self._inputs(reader), largest * kernel)
            self._gains[reader.index] = gains
        return self._gains[reader.index]

    def _energies(self, reader: Layer) -> np.ndarray:
        """Of each input of the reader, that of the layers that make it; what is not known counts as nothing."""
        inputs = self._inputs(reader)
        energies = np.zeros(self._groups.size)
        for layer in self._layers:
            if (self._makes[layer.index] & self._reads[reader.index]).any():
                own = self._groups.of[self._groups.blobs[layer.index][0][0].labels]
                found = sum((stats.signal for stats in self._statistics(layer)), np.zeros(own.size))
                np.maximum.at(energies, own, found)
        energies[0] = 0
        found_energies: np.ndarray = energies[inputs]
        return found_energies


def _squares(reader: Layer, rows: Layout, columns: Layout) -> Iterator[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Row, column and square of each weight, chunk by chunk."""
    position = 0
    for chunk in reader.blobs[0].chunks():
        places = np.arange(position, position + chunk.size)
        position += chunk.size
        yield rows.channel(places), columns.channel(places), np.square(chunk.astype(np.float64))
