"""Applies the demands of a target to a net, and proves that each changed layer computes what it did."""

from __future__ import annotations

from dataclasses import replace
from typing import AbstractSet, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..errors import InternalError
from ..net.graph import Layer, Net
from ..net.model import Model
from .demand import CHANGED, DROPPING, WRITING, Change, Finding, Target
from .inputs import input_layers
from .trial import fits, random_bottoms

MOST = 8  # elements along an axis of the bottom of a proof
LARGE = 1 << 22  # weights in a proof: more take too much memory
_NOISE = 2.0**-20  # relative to the largest value: the new weights are float32


class Adapted(NamedTuple):
    """The model as the tool takes it, what was changed for that, and what the tool still does not take.

    renamed: the new name of each blob that got one.
    """

    model: Model
    changes: Tuple[Change, ...]
    left: Tuple[Finding, ...]
    renamed: Mapping[str, str]

    def with_its_inputs(self, net: Net) -> Net:
        """The net before, with inputs of the size that they have now: of another batch."""
        now = {layer.index: layer for layer in input_layers(self.model.net)}
        given = {
            top: self.model.net.shapes[value]
            for layer in net.layers
            if layer.index in now
            for top, value in zip(layer.tops, self.model.net.tops(now[layer.index]))
        }
        return Net(net.layers, net.inputs, {**net.given_shapes, **given})


def findings(model: Model, target: Target) -> Tuple[Finding, ...]:
    """What the tool does not take, in the order of the layers; the remedy of what `adapted` changes is a fold."""
    found: List[Finding] = []
    for demand in target.demands:
        named = demand.find(model)
        changes = {} if demand.changes is None or not named else demand.changes(model, frozenset())
        for each in named:
            is_changed = each.layer is not None and each.layer.index in changes
            found.append(each._replace(remedy=CHANGED) if is_changed or demand.by in (DROPPING, WRITING) else each)
    return _in_order(found)


def _in_order(found: Iterable[Finding]) -> Tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda finding: (-1, 0) if finding.layer is None else finding.layer.order))


def adapted(model: Model, target: Target, kept: AbstractSet[str]) -> Adapted:
    """kept: names of layers that stay as they are. Raises InternalError for a layer that computes something else."""
    before, done = model.net, []
    for demand in target.demands:
        changes = {} if demand.changes is None else demand.changes(model, kept)
        net = model.net
        for layer in net.layers:
            if layer.index in changes:
                new, what = changes[layer.index]
                _prove(net, layer, new)
                done.append(Change(demand.name, layer, what))
        if changes:
            layers = [changes[each.index][0] if each.index in changes else each for each in net.layers]
            model = replace(model, net=net.with_layers(layers))
        if demand.by == DROPPING:
            done += [Change(demand.name, layer, "is left out") for layer in model.excluded]
            model = replace(model, excluded=(), dropped=model.dropped + model.excluded)
    left = _in_order(each for demand in target.demands if demand.by != WRITING for each in demand.find(model))
    return Adapted(model, tuple(done), left, _renamed(before, model.net))


def _renamed(before: Net, after: Net) -> Dict[str, str]:
    now = {layer.index: layer.tops for layer in after.layers}
    pairs = (pair for layer in before.layers for pair in zip(layer.tops, now[layer.index]))
    return {old: new for old, new in pairs if old != new}


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
    sizes = [tuple(dim or 1 for dim in shape or ()) for shape in shapes]
    sizes = next((each for each in (_smaller(sizes), sizes) if fits(before, each)), [])
    if not sizes or sum(blob.count for blob in before.blobs) > LARGE:
        return
    bottoms = random_bottoms(sizes)
    for was, now in zip(before.run(bottoms), after.run(bottoms[: len(after.bottoms)])):
        bound = _NOISE * float(np.max(np.abs(was), initial=0.0))
        if was.shape != now.shape or not np.all(np.abs(was - now) <= bound):
            raise InternalError(f"layer {before.name} would compute something else as {after.type}")


def _smaller(sizes: Sequence[Sequence[int]]) -> List[Tuple[int, ...]]:
    """With as many channels, but smaller images; of several bottoms the sizes may depend on each other."""
    most = MOST if len(sizes) == 1 else max(max(size, default=1) for size in sizes)
    return [tuple(dim if axis == 1 else min(dim, most) for axis, dim in enumerate(size)) for size in sizes]
