"""What a target, a demand, a finding and a change are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import AbstractSet, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..generations import V2
from ..net.graph import Layer, Net
from ..net.model import Model

# What the tool does with a net that it finds something in: it stops, computes something else, or only complains.
REFUSES, WRONG, COMPLAINS = "refuses", "computes something else", "complains"

# Remedies of findings.
CHANGED = "fuse changes it"
UPGRADE = "caffe-fuse upgrade, which caffe-fuse fuse does first"

# How the command meets a demand where that is not by other layers: it upgrades the files first, simplifies the net,
# leaves out layers of other phases, or writes the files in another way.
UPGRADING, SIMPLIFYING, DROPPING, WRITING = "upgrading", "simplifying", "dropping", "writing"


class Finding(NamedTuple):
    """Something in a net that a tool does not take.

    layer: where; None for the net as a whole. effect: REFUSES, WRONG or COMPLAINS. what: a clause about the layer.
    """

    demand: str
    layer: Optional[Layer]
    effect: str
    what: str
    remedy: str = ""


class Change(NamedTuple):
    """What a demand changed in a layer."""

    demand: str
    layer: Layer
    what: str


Changed = Tuple[Layer, str]
Changes = Callable[[Model, AbstractSet[str]], Mapping[int, Changed]]


def each(changed: Callable[[Net, Layer], Optional[Changed]]) -> Changes:
    """The changes of a demand that looks at one layer at a time; None for one that fits, or cannot be changed.

    V0 and V1 have no words for most of them: their layers stay.
    """

    def changes(model: Model, kept: AbstractSet[str]) -> Dict[int, Changed]:
        layers = (layer for layer in model.net.layers if layer.name not in kept and layer.generation == V2)
        found = ((layer.index, changed(model.net, layer)) for layer in layers)
        return {index: new for index, new in found if new is not None}

    return changes


@dataclass(frozen=True)
class Demand:
    """Something that a tool asks of a net.

    name: for reports. what: a sentence for people. find: what in the model does not fit. changes: of a model and the
    names of layers that stay, the layers as the tool takes them, by index, each with what changed; the net computes the
    same. by: UPGRADING and so on, where the command meets it otherwise.
    """

    name: str
    what: str
    find: Callable[[Model], Sequence[Finding]]
    changes: Optional[Changes] = None
    by: Optional[str] = None

    @property
    def is_met(self) -> bool:
        """Whether the command does something about it; for some layers that may be impossible."""
        return self.by is not None or self.changes is not None


@dataclass(frozen=True)
class Target:
    """A tool. policy: the name of its half policy. versions: which were tried, or are documented. source: of all this.

    measured: whether the real tool was run on nets; otherwise everything is from documents.
    """

    name: str
    title: str
    policy: str
    versions: str
    demands: Tuple[Demand, ...]
    source: str
    aliases: Tuple[str, ...] = ()
    measured: bool = False
