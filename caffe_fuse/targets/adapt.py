"""Applies the demands of a target to a net, and proves that each changed layer computes what it did."""

from __future__ import annotations

from typing import AbstractSet, Dict, List, NamedTuple, Tuple

import numpy as np

from ..errors import InputError, InternalError
from ..half.sampling import Chance
from ..net.graph import Layer, Net
from .demand import Change, Demand, Finding, Target

MOST = 8  # elements along an axis of the one bottom of a proof; of several the sizes may depend on each other
_NOISE = 2.0**-20  # relative to the largest value: the new weights are float32


class Adapted(NamedTuple):
    """The net as the tool takes it, what was changed for that, and what the tool still does not take."""

    net: Net
    changes: Tuple[Change, ...]
    left: Tuple[Finding, ...]


def findings(net: Net, target: Target) -> Tuple[Finding, ...]:
    """What the tool does not take, in the order of the layers; the remedy of what `adapted` changes is a fold."""
    found = [_with_remedy(net, demand, finding) for demand in target.demands for finding in demand.find(net)]
    return tuple(sorted(found, key=lambda finding: (-1, 0) if finding.layer is None else finding.layer.order))


def _with_remedy(net: Net, demand: Demand, finding: Finding) -> Finding:
    if finding.layer is None or demand.changed is None or demand.changed(net, finding.layer) is None:
        return finding
    return finding._replace(remedy="fuse changes it")


def adapted(net: Net, target: Target, kept: AbstractSet[str]) -> Adapted:
    """kept: names of layers that stay as they are. Raises InternalError for a layer that computes something else."""
    changes: List[Change] = []
    for demand in target.demands:
        if demand.changed is None:
            continue
        new: Dict[int, Layer] = {}
        for layer in net.layers:
            found = None if layer.name in kept else demand.changed(net, layer)
            if found is not None:
                new[layer.index] = found[0]
                changes.append(Change(demand.name, layer, found[1]))
                _prove(net, layer, found[0])
        if new:
            net = net.with_layers([new.get(layer.index, layer) for layer in net.layers])
    by_files = {demand.name for demand in target.demands if demand.by_files}
    left = (finding for finding in findings(net, target) if finding.demand not in by_files)
    return Adapted(net, tuple(changes), tuple(left))


def _prove(net: Net, before: Layer, after: Layer) -> None:
    """Runs both layers on random bottoms, where they can be run and their sizes are known."""
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
