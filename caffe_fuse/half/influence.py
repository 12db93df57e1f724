"""How much of what the layers behind it sum up is due to a channel: of its numbers, or of what they lose in half.

Estimated from the numbers alone, as if inputs were independent: a sum has the energy (the mean square) of its inputs,
each times the square of its weight, and of its bias. What the net reads, and what comes from layers that no power of
two passes through, has energy 1. So the answers do not change when powers of two move.
"""

from __future__ import annotations

from functools import cached_property
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..blobs.kernels import Kernels
from ..blobs.scaled import Layout
from ..net.graph import Layer
from ..net.scale_groups import Groups
from .channels import GOOD
from .rounding import IEEE, HalfPolicy, rounded

# What is below this share of each sum that it goes into does no harm there: halves of the sum are as far off.
NO_EFFECT = 10 ** (-GOOD / 10)
ENOUGH_ENERGY = 1e200  # of a channel: its square times any weight's square is a float64

Measure = Callable[[np.ndarray], np.ndarray]


def layout_of(layer: Layer, number: int) -> Optional[Layout]:
    """Where a layer's blob has its output channels; None for one that has none, or none that is known here."""
    layer_type = layer.layer_type
    if layer_type is not None and layer_type.absorb is not None and number == 0:
        return layer_type.absorb.layout(layer.parameter, layer.blobs[0].shape)
    if layer_type is not None and (layer_type.absorb is not None or layer_type.scales):
        return Layout(1, 1, layer.blobs[number].count, 1)
    return None


def channels_of(layer: Layer, number: int) -> Optional[Layout]:
    """Where the channels of any blob are: one number each, unless it holds the weights of a layer."""
    blob = layer.blobs[number]
    if layer.layer_type is not None and layer.layer_type.absorb is not None and number == 0:
        return layer.layer_type.absorb.layout(layer.parameter, blob.shape)
    return Layout(1, 1, blob.count, 1) if blob.count in (1, max(blob.shape, default=1)) else None


class Effects:
    """Of the channels of a net in groups. Reads the weights when the first answer is asked for."""

    def __init__(self, layers: Sequence[Layer], groups: Groups, policy: HalfPolicy = IEEE) -> None:
        self._policy = policy
        self._groups = groups
        self._weighted = [_Weighted(layer, groups) for layer in layers if _sums_up(layer, groups)]
        self._noise: Dict[int, Tuple[Layer, np.ndarray]] = {}

    def of_errors(self, layer: Layer, channels: np.ndarray, powers: Optional[np.ndarray] = None) -> np.ndarray:
        """The largest share that the errors of each channel have in the energy of a sum; inf where nobody knows.

        powers: of two by which the groups were multiplied since; `layer` is one of that net.
        """
        if not _sums_up(layer, self._groups):
            return np.full(channels.size, np.inf)
        factors = np.ldexp(1.0, 2 * (np.zeros(self._groups.size, np.int64) if powers is None else powers))
        weighted = _Weighted(layer, self._groups)
        if layer.index not in self._noise or self._noise[layer.index][0] is not layer:
            noise = weighted.energies(self._energies * factors, self._rounding_errors)
            self._noise[layer.index] = layer, noise
        return _known_shares(self._noise[layer.index][1], self._gains / factors, weighted.outputs, channels)

    def of_numbers(self, layer: Layer, channels: np.ndarray) -> np.ndarray:
        """The same for what the channels themselves add."""
        for weighted, sums in zip(self._weighted, self._sums):
            if weighted.layer is layer:
                return _known_shares(sums, self._gains, weighted.outputs, channels)
        return np.full(channels.size, np.inf)

    @cached_property
    def dead(self) -> np.ndarray:
        """By group, whether its channels as a whole do nothing to any sum; never group 0."""
        with np.errstate(all="ignore"):
            dead: np.ndarray = self._energies * self._gains <= NO_EFFECT
        dead[0] = False
        return dead

    @cached_property
    def _sums(self) -> List[np.ndarray]:
        """Of each layer the energies of its outputs; on the way those of the groups are filled in."""
        energies = np.zeros(self._groups.size)
        energies[0] = 1
        found = []
        for each in self._weighted:
            sums = np.minimum(each.energies(energies, np.square), ENOUGH_ENERGY)
            np.maximum.at(energies, each.outputs, sums)
            energies[0] = 1
            found.append(sums)
        self._energies_of_groups = energies
        return found

    @property
    def _energies(self) -> np.ndarray:
        assert self._sums is not None
        return self._energies_of_groups

    @cached_property
    def _gains(self) -> np.ndarray:
        """By group, the largest share in a sum that energy 1 in it makes up; inf where no layer here reads it.

        Sums that do nothing themselves do not count: a channel that only a dead one reads is dead as well.
        """
        gains = np.full(self._groups.size, -1.0)
        energies = self._energies
        for each, sums in zip(reversed(self._weighted), reversed(self._sums)):
            own = each.outputs
            with np.errstate(all="ignore"):
                alive = (own == 0) | (gains[own] < 0) | ~(gains[own] * energies[own] <= NO_EFFECT)
                shares = each.largest_shares(np.where(alive, sums, np.inf))
            np.maximum.at(gains, each.inputs, shares)
        gains[gains < 0] = np.inf
        return gains

    def _rounding_errors(self, numbers: np.ndarray) -> np.ndarray:
        errors: np.ndarray = np.square(rounded(numbers, self._policy) - numbers)
        errors[~np.isfinite(errors)] = 0  # infinite in half: a loss of another kind
        return errors


def _sums_up(layer: Layer, groups: Groups) -> bool:
    return bool(groups.blobs.get(layer.index)) and layout_of(layer, 0) is not None


class _Weighted:
    """A layer with weights. outputs, inputs: the groups of its rows and columns."""

    def __init__(self, layer: Layer, groups: Groups) -> None:
        rows, columns = groups.blobs[layer.index][0]
        self.layer = layer
        self.kernels = Kernels.of(rows.layout, columns.layout)
        self.outputs: np.ndarray = groups.of[rows.labels]
        self.inputs: np.ndarray = groups.of[columns.labels]

    def energies(self, energies: np.ndarray, measure: Measure) -> np.ndarray:
        """Of each output channel the energy of its sums, where those of the groups are known.

        measure: what of each number counts, squared.
        """
        found = np.zeros(self.outputs.size)
        inputs = energies[self.inputs]
        with np.errstate(all="ignore"):
            for first, numbers in self.kernels.slabs(self.layer.blobs[0]):
                squares = self.kernels.combined(np.add, measure(numbers.astype(np.float64)))
                squares *= self.kernels.spread(False, inputs, first, len(squares))
                self.kernels.reduce(np.add, True, squares, first, found)
            for blob in self.layer.blobs[1:]:
                found += measure(blob.array().astype(np.float64).reshape(-1))
        return found

    def largest_shares(self, sums: np.ndarray) -> np.ndarray:
        """Of each input channel the largest share that energy 1 in it has in a sum of these energies."""
        found = np.zeros(self.inputs.size)
        for first, numbers in self.kernels.slabs(self.layer.blobs[0]):
            squares = self.kernels.combined(np.add, np.square(numbers.astype(np.float64)))
            sizes = self.kernels.spread(True, sums, first, len(squares))
            shares = np.where(squares > 0, squares / sizes, 0)
            self.kernels.reduce(np.fmax, False, shares, first, found)
        return found


def _known_shares(energies: np.ndarray, gains: np.ndarray, outputs: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Which share the channels with these energies have; inf for those of group 0, and where nothing is known."""
    own = outputs[channels]
    with np.errstate(all="ignore"):
        found: np.ndarray = energies[channels] * gains[own]
    found[(own == 0) | ~np.isfinite(found)] = np.inf
    return found
