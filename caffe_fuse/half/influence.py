"""The influence of a channel: the share of its values, or of their rounding errors, in the sums of later layers.

It is estimated from the weights alone, as if inputs were independent: the energy (mean square) of a sum is that of its
inputs, each times the square of its weight, plus that of its bias. Inputs of the net, and outputs of layers that no
power of two passes through, have energy 1. So shares do not change when powers of two move.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..blobs.kernels import Kernels
from ..net.graph import Layer
from .channels import NO_EFFECT, layout_of
from .rounding import IEEE, HalfPolicy, rounded

if TYPE_CHECKING:
    from ..net.scale_groups import Groups

ENOUGH_ENERGY = 1e200  # of a channel: times the square of any weight it is still finite in float64

Measure = Callable[[np.ndarray], np.ndarray]


class Effects:
    """The influence of the channels of a net, by groups. Reads the weights on first use."""

    def __init__(self, layers: Sequence[Layer], groups: Groups, policy: HalfPolicy = IEEE) -> None:
        self._policy = policy
        self._groups = groups
        self._weighted = [_Weighted(layer, groups) for layer in layers if _sums_up(layer, groups)]
        self._noise: Dict[int, Tuple[Layer, np.ndarray]] = {}

    def of_errors(self, layer: Layer, channels: np.ndarray, powers: Optional[np.ndarray] = None) -> np.ndarray:
        """The largest share that the errors of each channel have in the energy of a sum; inf where not known.

        powers: the powers of two by which the groups were multiplied since; `layer` is one of the rescaled net.
        """
        if not _sums_up(layer, self._groups):
            return np.full(channels.size, np.inf)
        factors = np.ldexp(1.0, 2 * (np.zeros(self._groups.size, np.int64) if powers is None else powers))
        weighted = _Weighted(layer, self._groups)
        if layer.index not in self._noise or self._noise[layer.index][0] is not layer:
            noise = weighted.energies(self._energies * factors, self._rounding_errors)
            self._noise[layer.index] = layer, noise
        return _known_shares(self._noise[layer.index][1], self._gains / factors, weighted.outputs, channels)

    def of_values(self, layer: Layer, channels: np.ndarray) -> np.ndarray:
        """The same for the values of the channels instead of their errors."""
        for weighted, sums in zip(self._weighted, self._sums):
            if weighted.layer is layer:
                return _known_shares(sums, self._gains, weighted.outputs, channels)
        return np.full(channels.size, np.inf)

    @cached_property
    def dead(self) -> np.ndarray:
        """By group, whether its channels as a whole have no effect on any sum; never group 0."""
        with np.errstate(all="ignore"):
            dead: np.ndarray = self._energies * self._gains <= NO_EFFECT
        dead[0] = False
        return dead

    @cached_property
    def _sums(self) -> List[np.ndarray]:
        """The energies of the outputs of each layer; those of the groups are computed on the way."""
        energies = np.zeros(self._groups.size)
        energies[0] = 1
        of_layers = []
        for weighted in self._weighted:
            sums = np.minimum(weighted.energies(energies, np.square), ENOUGH_ENERGY)
            np.maximum.at(energies, weighted.outputs, sums)
            energies[0] = 1
            of_layers.append(sums)
        self._energies_of_groups = energies
        return of_layers

    @property
    def _energies(self) -> np.ndarray:
        assert self._sums is not None
        return self._energies_of_groups

    @cached_property
    def _gains(self) -> np.ndarray:
        """By group, the largest share that energy 1 in it has in a sum; inf where no layer here reads it.

        Sums without effect of their own do not count: a channel that only a dead one reads is dead as well.
        """
        gains = np.full(self._groups.size, -1.0)
        energies = self._energies
        for weighted, sums in zip(reversed(self._weighted), reversed(self._sums)):
            own = weighted.outputs
            with np.errstate(all="ignore"):
                alive = (own == 0) | (gains[own] < 0) | ~(gains[own] * energies[own] <= NO_EFFECT)
                shares = weighted.largest_shares(np.where(alive, sums, np.inf))
            np.maximum.at(gains, weighted.inputs, shares)
        gains[gains < 0] = np.inf
        return gains

    def _rounding_errors(self, values: np.ndarray) -> np.ndarray:
        errors: np.ndarray = np.square(rounded(values, self._policy) - values)
        errors[~np.isfinite(errors)] = 0  # infinite in fp16: a loss of another kind
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
        """The energy of the sums of each output channel, from the energies of the groups.

        measure: the square that counts of each weight: np.square, or that of its rounding error.
        """
        found = np.zeros(self.outputs.size)
        inputs = energies[self.inputs]
        with np.errstate(all="ignore"):
            for first, weights in self.kernels.slabs(self.layer.blobs[0]):
                squares = self.kernels.combined(np.add, measure(weights.astype(np.float64)))
                squares *= self.kernels.spread(False, inputs, first, len(squares))
                self.kernels.reduce(np.add, True, squares, first, found)
            for blob in self.layer.blobs[1:]:
                found += measure(blob.array().astype(np.float64).reshape(-1))
        return found

    def largest_shares(self, sums: np.ndarray) -> np.ndarray:
        """For each input channel, the largest share that energy 1 in it has in a sum; sums: their energies."""
        found = np.zeros(self.inputs.size)
        for first, weights in self.kernels.slabs(self.layer.blobs[0]):
            squares = self.kernels.combined(np.add, np.square(weights.astype(np.float64)))
            sizes = self.kernels.spread(True, sums, first, len(squares))
            np.divide(squares, sizes, out=squares)  # 0 / 0 is NaN, which fmax ignores
            self.kernels.reduce(np.fmax, False, squares, first, found)
        return found


def _known_shares(energies: np.ndarray, gains: np.ndarray, outputs: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """The shares of channels with these energies; inf for those of group 0, and where not known."""
    own = outputs[channels]
    with np.errstate(all="ignore"):
        found: np.ndarray = energies[channels] * gains[own]
    found[(own == 0) | ~np.isfinite(found)] = np.inf
    return found
