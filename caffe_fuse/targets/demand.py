"""What a target, a demand, a finding and a change are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional, Sequence, Tuple

from ..net.graph import Layer, Net

# What the tool does with a net that it finds something in: it stops, computes something else, or only complains.
REFUSES, WRONG, COMPLAINS = "refuses", "computes something else", "complains"


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


@dataclass(frozen=True)
class Demand:
    """Something that a tool asks of a net.

    name: for reports. what: a sentence for people. find: what in the net does not fit. changed: the layer as the tool
    takes it, None for one that fits as it is, or cannot be changed; the net computes the same. by_files: whether the
    files are changed instead, when they are read (`upgrade`) or written (float32 blobs).
    """

    name: str
    what: str
    find: Callable[[Net], Sequence[Finding]]
    changed: Optional[Callable[[Net, Layer], Optional[Tuple[Layer, str]]]] = None
    by_files: bool = False


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
