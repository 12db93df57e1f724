"""Range repair: powers of two move between layers, so that weights and activations fit into half precision.

If the channels of a blob are multiplied by 2^k, so are the weights and biases that produce them, and the weights that
read them are divided by it. Every sum of the net is then a sum of the same float32 terms times a power of two: its
outputs stay the same to the last bit, unless a term becomes subnormal or infinite in float32.
"""

from __future__ import annotations

from functools import partial
from typing import AbstractSet, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

import numpy as np

from ..blobs.blob import Blob
from ..blobs.scaled import ScaledBlob, Scaling, scaled
from ..half.channels import channels_of
from ..half.influence import Effects
from ..half.lost_channels import Loss, harmful, losses
from ..half.measures import Measures
from ..half.rounding import IEEE, HalfPolicy
from ..layers.homogeneous import Scaled
from ..layers.layer_type import IDENTITY
from ..layers.shapes import rank_of
from ..net.graph import Layer, Net, Value
from ..net.scale_groups import Groups, grouped
from ..passes import FOLD, MERGE, Rewrite
from ..passes.layer_powers import LayerPowers
from ..schema.messages import copy_of
from ..wording import few
from .descent import LOWEST, LOWEST_FLUSHED, Block, Descent, Side
from .peaks import Peaks

KEPT = 1 << 25  # exponents of this many weights may stay in memory, one byte per kernel; other blobs are read again
PATIENCE = 3  # this many layers are given up one by one, then all at once: a broken model would take minutes


class Unrepaired(NamedTuple):
    """Channels that half precision still loses. blob: the index of a blob of weights, or the name of a top.

    channels: empty where their axis is not known.
    """

    layer: Layer
    blob: Union[int, str]
    channels: Tuple[int, ...]
    overflow: bool
    reason: str

    @property
    def effect(self) -> str:
        """What half precision does to the blob."""
        if isinstance(self.blob, str):
            return "may overflow"
        return "overflows" if self.overflow else "loses most of its precision"

    def __str__(self) -> str:
        plural = "s" if self.channels[1:] else ""
        where = f" in channel{plural} {few(self.channels)}" if self.channels else ""
        place = f"{'top' if isinstance(self.blob, str) else 'blob'} {self.blob}"
        return (
            f"{self.layer} {place} {self.effect}{where}, and cannot be repaired: {self.reason}; "
            f"keep layer {self.layer.name} in float32"
        )


class Exponents(NamedTuple):
    """The elements at index j of `axis` are multiplied by 2^of[j]."""

    axis: int
    of: Tuple[int, ...]


class Repair(NamedTuple):
    """The result of a range repair. net: rescaled. blobs: by name, for each that changed, its exponents by channel.

    values: the same for each value, with the axis of its channels. powers: by layer index. left: the channels that no
    power of two can repair.
    """

    net: Net
    blobs: Mapping[str, Tuple[int, ...]]
    values: Mapping[Value, Exponents]
    powers: Mapping[int, LayerPowers]
    left: Tuple[Unrepaired, ...]


def rescale(
    net: Net,
    excluded: Sequence[Layer] = (),
    *,
    needed: bool = True,
    kept: AbstractSet[str] = frozenset(),
    keep_blobs: AbstractSet[str] = frozenset(),
    largest: Optional[Mapping[Value, np.ndarray]] = None,
    policy: HalfPolicy = IEEE,
    measures: Optional[Measures] = None,
    lost: Optional[Sequence[Loss]] = None,
) -> Optional[Repair]:
    """The net with powers of two moved so that it suits half precision; None where that is not needed.

    needed: only where an element overflows, or may, or a channel of weights loses too much; otherwise wherever that
    improves anything. kept: layers whose weights stay. keep_blobs: blobs whose values stay. largest: by value, the
    largest magnitudes that are expected in its channels, float64 (channels,), or (1,) for all. policy: how the device
    rounds, which decides what is lost. measures: of the blobs, as far as known. lost: the `losses` of the net, if they
    are known. Reads the weights.
    Raises InputError for weights that cannot be read.
    """
    largest, measures = largest or {}, measures or Measures()
    broken = _not_finite(net.layers, measures)
    while True:
        groups = grouped(net, excluded, kept, keep_blobs, broken)
        repair = Rescaling(net, groups, largest, policy, measures, lost).repair(needed)
        beyond = set() if repair is None else _not_finite(repair.net.layers, measures) - broken
        if not beyond:
            return repair
        broken |= beyond  # powers of two would take their weights out of the range of float32


def _not_finite(layers: Sequence[Layer], measures: Measures) -> Set[int]:
    """Indices of the layers with a NaN or infinity; a recipe is only read where its bound exceeds float32."""
    limit = float(np.finfo(np.float32).max)
    blobs = [(layer.index, blob) for layer in layers for blob in layer.blobs]
    doubtful = [pair for pair in blobs if not isinstance(pair[1], ScaledBlob) or measures.bound(pair[1]) > limit]
    measures.of_all(blob for _, blob in doubtful)
    return {index for index, blob in doubtful if measures.of(blob).nan or measures.of(blob).inf}


def rescaled_alone(source: Net, powers: Mapping[int, LayerPowers], rewrites: Sequence[Rewrite]) -> List[Rewrite]:
    """For the proof: the layers that were rescaled but not rewritten, each as a rewrite of itself."""
    done = {rewrite.after.index for rewrite in rewrites}
    alone: List[Rewrite] = []
    for layer in source.layers:
        if layer.index in powers and layer.index not in done:
            bottom, rank = source.shapes[source.bottoms(layer)[0]], rank_of(source.shapes[source.tops(layer)[0]])
            assert layer.layer_type is not None
            assert layer.layer_type.channel_axis is not None  # powers move into blobs of such layers only
            rule, axis = (
                MERGE if layer.layer_type.absorb is None else FOLD,
                layer.layer_type.channel_axis(layer.parameter, bottom),
            )
            assert axis is not None  # no power passes through a layer whose axis is not known
            alone.append(Rewrite(rule, (layer,), layer, (), axis, rank, IDENTITY))
    return alone


class Rescaling:
    """A net and the powers of two of its groups."""

    def __init__(
        self,
        net: Net,
        groups: Groups,
        largest: Mapping[Value, np.ndarray],
        policy: HalfPolicy = IEEE,
        measures: Optional[Measures] = None,
        lost: Optional[Sequence[Loss]] = None,
    ) -> None:
        self.net = net
        self._lost = lost
        self._policy = policy
        self._measures = measures or Measures()
        self.groups = groups
        self._last: Tuple[np.ndarray, Net, List[Loss]] = (np.zeros(0), net, [])
        self.blocks: Dict[Tuple[int, int], Block] = {}
        room = KEPT
        for layer in net.layers:
            for index, scalings in enumerate(groups.blobs.get(layer.index, ())):
                blob, weights = layer.blobs[index], self.blocks.get((layer.index, 0))
                sides = [Side(scaling.layout, groups.of[scaling.labels]) for scaling in scalings]
                block = Block(blob, sides[0], sides[1] if sides[1:] else None, weights, kept=room >= blob.count)
                room -= blob.count if room >= blob.count else 0
                self.blocks[layer.index, index] = block
        self.peaks = Peaks(groups, largest)
        self.effects = Effects(net.layers, groups, policy)

    def repair(self, needed: bool) -> Optional[Repair]:
        given_up: Set[int] = set()
        while True:
            powers = self._solved(needed, given_up)
            rescaled, left = self._tried(powers)
            hopeless = [loss for loss in left if loss.overflow.size and self._is_block(loss)]
            lost = {loss.layer.index for loss in hopeless} - given_up
            if not lost:
                break
            # A layer has to stay in float32: first those that no later layer can relieve, and as few as possible.
            pinned = {loss.layer.index for loss in hopeless if not self._groups_of(loss)} & lost
            patient = len(given_up) < PATIENCE
            given_up |= (pinned or {max(lost)}) if patient else lost
        missed = [*map(self._unrepaired, filter(self._is_of_half, left)), *self._unrepaired_tops(powers)]
        if not powers.any() and not missed:
            return None
        return Repair(
            rescaled,
            self.exponents(powers),
            self._value_exponents(powers),
            self._layer_powers(powers),
            tuple(missed),
        )

    def _solved(self, needed: bool, given_up: AbstractSet[int]) -> np.ndarray:
        """The best powers of the groups; if `needed`, of as few as necessary, otherwise of all that are not dead."""
        blocks = [block for (index, _), block in self.blocks.items() if index not in given_up]
        blocks += self.peaks.blocks()
        families = self.groups.families()
        lowest = LOWEST if self._policy.subnormals == "kept" else LOWEST_FLUSHED
        descent = Descent(blocks, np.zeros(self.groups.size, np.int64), lowest)
        powers = descent.powers
        active: Set[int] = set()
        if not needed:
            active = set(np.flatnonzero(~self.effects.dead).tolist())
            powers = descent.settled(_within(families, active))
        while True:
            losses_left = [loss for loss in self._losses(powers) if loss.layer.index not in given_up]
            more = {group for loss in losses_left for group in self._groups_of(loss)} - active
            more |= self.peaks.groups_of(self.peaks.overflowing(powers)) - active
            more = more or {group for loss in losses_left for group in self._groups_around(loss)} - active
            if not more:
                return powers
            active |= more
            powers = descent.settled(_within(families, active))

    def _losses(self, powers: np.ndarray) -> List[Loss]:
        return [loss for loss in self._tried(powers)[1] if self._is_block(loss)]

    def _tried(self, powers: np.ndarray) -> Tuple[Net, List[Loss]]:
        """The net with these powers and its losses; the last result is kept, since callers ask for it again."""
        if not np.array_equal(self._last[0], powers):
            net, lost = self.rescaled(powers), self._lost
            if net is not self.net or lost is None:
                lost = losses(net.layers, self._policy, self._measures)
            self._last = (powers, net, harmful(lost, partial(self.effects.of_errors, powers=powers)))
        return self._last[1:]

    def _is_block(self, loss: Loss) -> bool:
        return (loss.layer.index, loss.blob) in self.blocks

    def _groups_of(self, loss: Loss) -> Set[int]:
        """The groups of the lost channels, except group 0."""
        groups = self.blocks[loss.layer.index, loss.blob].rows
        return set(groups[loss.channels].tolist()) - {0}

    def _groups_around(self, loss: Loss) -> Set[int]:
        """All groups of the layer's weights, except group 0."""
        return set(self.blocks[loss.layer.index, 0].groups.tolist()) - {0}

    def rescaled(self, powers: np.ndarray) -> Net:
        if not powers.any():
            return self.net
        return self.net.with_layers([self._rescaled_layer(layer, powers) for layer in self.net.layers])

    def _rescaled_layer(self, layer: Layer, powers: np.ndarray) -> Layer:
        blobs: List[Blob] = list(layer.blobs)
        for index, scalings in enumerate(self.groups.blobs.get(layer.index, ())):
            factors = [Scaling(each.layout, np.ldexp(1.0, self._exponents_of(each, powers))) for each in scalings]
            factors = [each for each in factors if (each.factors != 1).any()]
            if factors:
                blobs[index] = scaled(blobs[index], factors)
        if tuple(blobs) == layer.blobs:
            return layer
        parameter = copy_of(layer.parameter)
        del parameter.blobs[:]  # the old weights, if they are in the prototxt
        return layer.rewritten(parameter, tuple(blobs))

    def _exponents_of(self, side: Scaled, powers: np.ndarray) -> np.ndarray:
        exponents: np.ndarray = powers[self.groups.of[side.labels]]
        return -exponents if side.divided else exponents

    def exponents(self, powers: np.ndarray) -> Dict[str, Tuple[int, ...]]:
        """The exponents of each changed blob, by name; of a blob with several versions those of the last one."""
        by_blob = {value.blob: exponents.of for value, exponents in self._value_exponents(powers).items()}
        return {name: exponents for name, exponents in by_blob.items() if any(exponents)}

    def _value_exponents(self, powers: np.ndarray) -> Dict[Value, Exponents]:
        return {
            value: Exponents(channels.axis, tuple(powers[self.groups.of[channels.labels]].tolist()))
            for value, channels in self.groups.values.items()
        }

    def _layer_powers(self, powers: np.ndarray) -> Dict[int, LayerPowers]:
        by_layer: Dict[int, LayerPowers] = {}
        for index, blobs in self.groups.blobs.items():
            if blobs:
                sides = [powers[self.groups.of[each.labels]] for each in blobs[0]]
                if any(side.any() for side in sides):
                    by_layer[index] = LayerPowers(sides[0], sides[-1])
        return by_layer

    def _is_of_half(self, loss: Loss) -> bool:
        """Whether half precision causes the loss: NaN and infinity are lost in float32 as well."""
        stats = self._measures.of(loss.layer.blobs[loss.blob])
        return stats.nan + stats.inf == 0 or stats.overflow > 0 or loss.channels.size > loss.overflow.size

    def _unrepaired(self, loss: Loss) -> Unrepaired:
        channels = loss.channels.tolist() if channels_of(loss.layer, loss.blob) is not None else ()
        return Unrepaired(loss.layer, loss.blob, tuple(channels), bool(loss.overflow.size), self._reason(loss))

    def _unrepaired_tops(self, powers: np.ndarray) -> List[Unrepaired]:
        """Tops that may overflow: each blob once, with the first layer that writes it."""
        by_blob: Dict[str, Unrepaired] = {}
        for value, channels in self.peaks.overflowing(powers).items():
            layer = self.net.producer(value)
            if layer is not None and value.blob not in by_blob:
                known = self.groups.values.get(value)
                reason = f"no power of two passes through {layer.type}"
                if known is not None:
                    reason = self._why(known.labels if known.axis != 1 else known.labels[channels])
                by_blob[value.blob] = Unrepaired(layer, value.blob, tuple(channels.tolist()), True, reason)
        return list(by_blob.values())

    def _reason(self, loss: Loss) -> str:
        scalings = self.groups.blobs.get(loss.layer.index, ())
        if len(scalings) <= loss.blob:
            return f"no power of two passes through {loss.layer.type}"
        return self._why(scalings[loss.blob][0].labels[loss.channels])

    def _why(self, labels: np.ndarray) -> str:
        reasons = dict.fromkeys(self.groups.reason(label) for label in labels.tolist())
        return next((reason for reason in reasons if reason), "the layers after it have no range left for it")


def _within(families: Sequence[np.ndarray], active: AbstractSet[int]) -> List[np.ndarray]:
    """The active groups of each family, without families that have none."""
    chosen = [family[np.isin(family, list(active))] for family in families]
    return [family for family in chosen if family.size]
