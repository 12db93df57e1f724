"""What a net costs: layers, parameters, multiply-adds, and the memory of its activations."""

from __future__ import annotations

from collections import Counter
from typing import Dict, Iterable, Mapping, NamedTuple, Optional, Sequence

from ..layers.shapes import size
from .bind import expected_shapes
from .graph import Layer, Net

FLOAT32_BYTES = 4


class Cost(NamedTuple):
    """layers: how many of each type. parameters: elements of the weights; shared ones count once.

    multiply_adds: of layers with weights and of affine ones; those of others (activations, pooling ...) do not count.
    activation_bytes: of all blobs in float32, as Caffe allocates them: a layer in place, or that shares memory, needs
    none. Both for the batch that the net names; None where sizes are not known.
    """

    layers: Mapping[str, int]
    parameters: Optional[int]
    multiply_adds: Optional[int]
    activation_bytes: Optional[int]


class Savings(NamedTuple):
    """A net before and after a fold, and of each the layers that changed alone."""

    before: Cost
    after: Cost
    changed_before: Cost
    changed_after: Cost


def savings(before: Net, after: Net) -> Savings:
    was = {layer.index: layer for layer in before.layers}
    now = {layer.index: layer for layer in after.layers}
    changed = {index for index in {*was, *now} if was.get(index) is not now.get(index)}
    return Savings(cost_of(before), cost_of(after), cost_of(before, changed), cost_of(after, changed))


def cost_of(net: Net, indices: Optional[Iterable[int]] = None) -> Cost:
    """Of the net, or of those of its layers that have these indices."""
    wanted = None if indices is None else frozenset(indices)
    layers = [layer for layer in net.layers if wanted is None or layer.index in wanted]
    types = Counter(layer.type for layer in layers)
    return Cost(
        dict(types.most_common()),
        _parameters(net, layers),
        _sum(_multiply_adds(net, layer) for layer in layers),
        _activation_bytes(net, layers, with_inputs=wanted is None),
    )


def _parameters(net: Net, layers: Sequence[Layer]) -> Optional[int]:
    counted: Dict[object, Optional[int]] = {}
    for layer in layers:
        shapes = [blob.shape for blob in layer.blobs] or expected_shapes(net, layer) or ()
        names = [spec.name for spec in layer.parameter.param]
        for place, shape in enumerate(shapes):
            key = names[place] if place < len(names) and names[place] else (layer.index, place)
            counted[key] = None if shape is None else size(shape)
    return _sum(counted.values())


def _multiply_adds(net: Net, layer: Layer) -> Optional[int]:
    if layer.layer_type is None or layer.layer_type.multiply_adds is None:
        return 0
    bottoms, tops = ([net.shapes[value] for value in side] for side in (net.bottoms(layer), net.tops(layer)))
    return layer.layer_type.multiply_adds(layer.parameter, bottoms, tops)


def _activation_bytes(net: Net, layers: Sequence[Layer], with_inputs: bool) -> Optional[int]:
    largest: Dict[str, Optional[int]] = {}
    values = [value for layer in layers if not layer.shares_memory for value in net.tops(layer)]
    shapes = [(value.blob, net.shapes[value]) for value in values]
    if with_inputs:
        shapes += [(name, shape) for name, shape in net.inputs.items()]
    for blob, shape in shapes:
        count = None if shape is None else size(shape)
        known = largest.get(blob, 0)
        largest[blob] = None if count is None or known is None else max(known, count)
    total = _sum(largest.values())
    return None if total is None else total * FLOAT32_BYTES


def _sum(counts: Iterable[Optional[int]]) -> Optional[int]:
    """Not known if one of them is not."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total
