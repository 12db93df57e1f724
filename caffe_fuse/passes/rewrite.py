"""What a pass takes and returns: the net so far, the rewrites, and the refusals with their reasons."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..half.measures import Measures
from ..layers.layer_type import Refusal
from ..net.graph import Layer, Net
from ..wording import Remedy
from .proof import Start, Written


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


class Rewrite(NamedTuple):
    """The layers `before`, in the order of the data, became the one layer `after`.

    vanished: each blob between them, with the blob that now holds its value, or None.
    axis, rank: of the values between them; axis is that of the channels.
    reason: why no rule without cost at run time applied.
    """

    rule: Rule
    before: Tuple[Layer, ...]
    after: Layer
    vanished: Tuple[Tuple[str, Optional[str]], ...]
    axis: int
    rank: int
    reason: str = ""

    @property
    def target(self) -> Layer:
        """The old layer whose place `after` takes."""
        return next(layer for layer in self.before if layer.index == self.after.index)

    @property
    def absorbed(self) -> Tuple[Layer, ...]:
        """The other old layers, in the order of the data."""
        return tuple(layer for layer in self.before if layer.index != self.after.index)


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
    """The state between two passes. measures: of the blobs, as far as known."""

    net: Net
    kept: FrozenSet[str] = frozenset()
    measures: Measures = field(default_factory=Measures)
    rewrites: Tuple[Rewrite, ...] = ()
    refusals: Mapping[int, Refused] = field(default_factory=dict)  # by layer index; the first reason counts
    parted: Mapping[int, Layer] = field(default_factory=dict)  # by index, layers as they were with their activation

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
        return replace(self, net=net, rewrites=self.rewrites + tuple(rewrites), refusals=reasons)
