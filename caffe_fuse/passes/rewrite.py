"""What a pass takes and returns: the net so far, the rewrites, and the refusals with their reasons."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..layers.layer_type import Affine, Refusal, Shape
from ..net.graph import Layer, Net
from ..wording import Remedy
from .proof import Start, Written

# Blobs that a net has no more, each with the blob that holds its value, or None.
Vanished = Tuple[Tuple[str, Optional[str]], ...]


class Pass(NamedTuple):
    """A step of the pipeline. name: for errors."""

    name: str
    apply: Callable[[Progress], Progress]


class Rule(NamedTuple):
    """A pass that replaces several layers by one.

    name, verb: of the rule, and of what it did, in reports. apply: finds layers and rewrites or refuses them.
    fate(rewrite, layer): what `show` prints for a layer of a rewrite. start: how its proof begins (proof.py).
    """

    name: str
    verb: str
    apply: Callable[[Progress], Progress]
    fate: Callable[[Rewrite, Layer], str]
    start: Callable[[Rewrite, Written], Start]


class Link(NamedTuple):
    """A layer of a chain, and what it computes."""

    layer: Layer
    affine: Affine


class Rewrite(NamedTuple):
    """The layers `before`, in the order of the data, became the one layer `after`.

    vanished: each blob between them, with the blob that now holds its value, or None.
    axis, rank: of the values between them; axis is that of the channels.
    affine: of the layers after the target, or of all for a target without weights.
    reason: why no rule without cost at run time applied. bottom: the shape of the target's bottom, for its proof.
    """

    rule: Rule
    before: Tuple[Layer, ...]
    after: Layer
    vanished: Vanished
    axis: int
    rank: int
    affine: Affine
    reason: str = ""
    bottom: Shape = None

    @property
    def target(self) -> Layer:
        """The old layer whose place `after` takes."""
        return next(layer for layer in self.before if layer.index == self.after.index)

    @property
    def absorbed(self) -> Tuple[Layer, ...]:
        """The other old layers, in the order of the data; for a part of a move those that it stands for."""
        others = (layer for layer in self.before if layer.index != self.after.index)
        return tuple(old for layer in others for old in layer.origin or (layer,))


class Move(NamedTuple):
    """Chains of affine layers that went to where they can be absorbed, through layers that only get other blobs.

    chains: one for each top that they followed, gone now. before, after: the layers between. parts: what the chains
    are there, one Scale for each of the layers `absorbing` it; the next pass takes them in. vanished: blobs whose
    values none holds now.
    """

    chains: Tuple[Tuple[Link, ...], ...]
    before: Tuple[Layer, ...]
    after: Tuple[Layer, ...]
    parts: Tuple[Layer, ...]
    absorbing: Tuple[Layer, ...]
    vanished: Tuple[str, ...]

    @property
    def through(self) -> Tuple[Layer, ...]:
        """The layers between that the files have; parts of an earlier move may be among `before`."""
        return tuple(layer for layer in self.before if not layer.origin)

    @property
    def chain(self) -> Tuple[Layer, ...]:
        """The layers of all chains."""
        return tuple(link.layer for chain in self.chains for link in chain)


class Removal(NamedTuple):
    """A layer that does nothing, and is gone."""

    layer: Layer
    reason: str
    vanished: Vanished


class Refused(NamedTuple):
    """A layer that a rule examined and left as it is."""

    layer: Layer
    rule: str
    reason: str
    remedy: Optional[Remedy] = None

    @classmethod
    def by(cls, rule: str, layer: Layer, refusal: Refusal) -> Refused:
        return cls(layer, rule, refusal.reason, refusal.remedy)


@dataclass(frozen=True)
class Progress:
    """The state between two passes. blobs: the names in the files.

    not_finite: names of rules with indices of layers, of which is known that the weights that the rule makes are not
    finite in float32.
    """

    net: Net
    blobs: FrozenSet[str]
    kept: FrozenSet[str] = frozenset()
    not_finite: FrozenSet[Tuple[str, int]] = frozenset()
    rewrites: Tuple[Rewrite, ...] = ()
    refusals: Mapping[int, Refused] = field(default_factory=dict)  # by layer index; the first reason counts
    moves: Tuple[Move, ...] = ()
    removals: Tuple[Removal, ...] = ()
    parted: Mapping[int, Layer] = field(default_factory=dict)  # by index, layers as they were with their activation

    @property
    def vanished(self) -> Dict[str, Optional[str]]:
        """The blobs of the files that the net has no more, each with the one that holds its value, or None."""
        names = set(self.net.blob_names)
        gone: List[Tuple[str, Optional[str]]] = [(name, None) for move in self.moves for name in move.vanished]
        gone += [pair for removal in self.removals for pair in removal.vanished]
        gone += [pair for rewrite in self.rewrites for pair in rewrite.vanished]
        holders = {name: holder for name, holder in gone if name not in names}
        found = {name: holder for name, holder in holders.items() if name in self.blobs}
        for name, holder in found.items():
            while holder is not None and holder not in names:  # a later step changed it as well
                holder = holders.get(holder)
            found[name] = holder
        return found

    @property
    def writers(self) -> Dict[int, Sequence[Optional[Layer]]]:
        """For each changed layer the layers that wrote the values of its tops before; None for a new value."""
        found: Dict[int, Sequence[Optional[Layer]]] = {}
        for move in self.moves:
            found.update({layer.index: [None] * len(layer.tops) for layer in move.through})
            found[move.through[-1].index] = [chain[-1].layer for chain in move.chains]
        for rewrite in self.rewrites:
            last = rewrite.before[-1]
            found[rewrite.after.index] = [None if last.origin else last]
        return found

    def after(self, rewrites: Sequence[Rewrite], refusals: Sequence[Refused]) -> Progress:
        """The progress with `rewrites` applied, and their layers no longer refused."""
        replaced = {rewrite.after.index: rewrite.after for rewrite in rewrites}
        gone = {layer.index for rewrite in rewrites for layer in rewrite.before} - set(replaced)
        kept_layers: List[Layer] = [
            replaced.get(layer.index, layer) for layer in self.net.layers if layer.index not in gone
        ]
        reasons: Dict[int, Refused] = dict(self.refusals)
        for refused in refusals:
            reasons.setdefault(refused.layer.index, refused)
        for index in gone | set(replaced):
            reasons.pop(index, None)
        net = self.net.with_layers(kept_layers) if rewrites else self.net
        # A layer with weights that takes more layers in has one rewrite, with all of them.
        earlier = tuple(rewrite for rewrite in self.rewrites if rewrite.after.index not in replaced)
        return replace(self, net=net, rewrites=earlier + tuple(rewrites), refusals=reasons)
