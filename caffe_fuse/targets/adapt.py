"""Applies the demands of a target to a net, and proves that each changed layer computes what it did."""

from __future__ import annotations

from typing import AbstractSet, List, NamedTuple, Tuple

import numpy as np

from ..errors import InputError, InternalError
from ..half.sampling import Chance
from ..net.graph import Layer, Net
from .demand import Change, Finding, Target

MOST = 8  # elements along an axis of the one bottom of a proof; of several the sizes may depend on each other
_NOISE = 2.0**-20  # relative to the largest value: the new weights are float32


class Adapted(NamedTuple):
    """The net as the tool takes it, what was changed for that, and what the tool still does not take."""

    net: Net
    changes: Tuple[Change, ...]
    left: Tuple[Finding, ...]


def findings(net: Net, target: Target) -> Tuple[Finding, ...]:
    """What the tool does not take, in the order of the layers; the remedy of what `adapted` changes is a fold."""
    found: List[Finding] = []
    for demand in target.demands:
        changes = {} if demand.changes is None else demand.changes(net, frozenset())
        found += [
            each._replace(remedy="fuse changes it") if each.layer is not None and each.layer.index in changes else each
            for each in demand.find(net)
        ]
    return tuple(sorted(found, key=lambda finding: (-1, 0) if finding.layer is None else finding.layer.order))


def adapted(net: Net, target: Target, kept: AbstractSet[str]) -> Adapted:
    """kept: names of layers that stay as they are. Raises InternalError for a layer that computes something else."""
    done: List[Change] = []
    for demand in target.demands:
        changes = {} if demand.changes is None else demand.changes(net, kept)
        for layer in net.layers:
            if layer.index in changes:
                new, what = changes[layer.index]
                _prove(net, layer, new)
                done.append(Change(demand.name, layer, what))
        if changes:
            net = net.with_layers([changes[each.index][0] if each.index in changes else each for each in net.layers])
    written = {demand.name for demand in target.demands if demand.by_writing}
    return Adapted(net, tuple(done), tuple(each for each in findings(net, target) if each.demand not in written))


def _prove(net: Net, before: Layer, after: Layer) -> None:
    """Runs both layers on random bottoms, where they can be run and their sizes are known.

    `verify` is for the net as a whole: names of blobs do not matter here.
    """
    old, new = before.layer_type, after.layer_type
    shapes = [net.shapes[value] for value in net.bottoms(before)]
    if old is None or new is None or old.forward is None or new.forward is None or not shapes:
        return
    if any(shape is None or None in shape for shape in shapes):
        return
    most = MOST if len(shapes) == 1 else max(max(dim or 1 for dim in shape or (1,)) for shape in shapes)
    bottoms = [
        Chance(place).random(
            tuple((dim or 1) if axis == 1 else min(dim or 1, most) for axis, dim in enumerate(shape or ()))
        )
        for place, shape in enumerate(shapes)
    ]
    try:
        expected = old.forward(before.parameter, [blob.array() for blob in before.blobs], bottoms)
    except InputError:  # such small images do not fit this layer
        return
    found = new.forward(after.parameter, [blob.array() for blob in after.blobs], bottoms[: len(after.bottoms)])
    for was, now in zip(expected, found):
        bound = _NOISE * float(np.max(np.abs(was), initial=0.0))
        if was.shape != now.shape or not np.all(np.abs(was - now) <= bound):
            raise InternalError(f"layer {before.name} would compute something else as {after.type}")
