"""Demands on the inputs of the net: their form, their shapes, and the batch."""

from __future__ import annotations

from functools import partial
from typing import AbstractSet, Dict, List, Optional, Set

import numpy as np

from ..generations import V2
from ..net.graph import Layer, Net
from ..net.model import Model
from ..schema.messages import copy_of
from .demand import COMPLAINS, REFUSES, UPGRADE, UPGRADING, WRITING, Changed, Demand, Finding, each
from .trial import fits, random_bottoms

_NOISE = 2.0**-20  # relative to the largest value: sums of float32 numbers may take another order


def _fields(effect: str, model: Model) -> List[Finding]:
    if not model.net.inputs or any(layer.generation != V2 for layer in model.net.layers):
        return []
    what = f"the net has `input` fields ({', '.join(model.net.inputs)}) and no Input layer"
    return [Finding("input-layer", None, effect, what, UPGRADE)]


def _twice(model: Model) -> List[Finding]:
    is_said = any(field.name == "input" for field in model.document.root.fields)
    layers = input_layers(model.net) if is_said else []
    what = "is an Input layer beside `input` fields"
    return [Finding("input-once", layer, REFUSES, what, UPGRADE) for layer in layers]


def input_layers(net: Net) -> List[Layer]:
    return [layer for layer in net.layers if layer.kind == "Input"]


def _layers(model: Model) -> List[Finding]:
    return [Finding("input-fields", layer, REFUSES, "is an Input layer") for layer in input_layers(model.net)]


def _without_shape(model: Model) -> List[Finding]:
    return [
        Finding("input-shape", layer, REFUSES, "does not say its shape", "--input-shape BLOB=1,3,224,224")
        for layer in input_layers(model.net)
        if not layer.parameter.input_param.shape
    ]


def _with_shape(net: Net, layer: Layer) -> Optional[Changed]:
    shapes = [net.given_shapes.get(top) for top in layer.tops]
    if layer.kind != "Input" or layer.parameter.input_param.shape or any(shape is None for shape in shapes):
        return None
    parameter = copy_of(layer.parameter)
    for shape in shapes:
        parameter.input_param.shape.add().dim.extend(shape or ())
    return layer.rewritten(parameter, ()), "with the given shape"


def _batches(model: Model) -> List[Finding]:
    return [
        Finding("batch-1", layer, COMPLAINS, f"has a batch of {batch}", "write the batch 1 into the net")
        for layer in input_layers(model.net)
        for batch in _batches_of(layer) - {1}
    ]


def _batches_of(layer: Layer) -> Set[int]:
    return {shape.dim[0] for shape in layer.parameter.input_param.shape if shape.dim}


def _of_one(model: Model, kept: AbstractSet[str]) -> Dict[int, Changed]:
    """The Input layers with a batch of 1, if each layer computes each item of the batch by itself."""
    net = model.net
    large = [layer for layer in input_layers(net) if _batches_of(layer) != {1}]
    batches = {batch for layer in large for batch in _batches_of(layer)}
    others = [layer for layer in net.layers if not layer.bottoms and layer.kind != "Input"]
    given = any(top in net.given_shapes for layer in large for top in layer.tops)
    if len(batches) != 1 or given or others or net.inputs:
        return {}
    if any(layer.name in kept or layer.generation != V2 for layer in large):
        return {}
    if not all(_is_by_item(net, layer, *batches) for layer in net.layers if layer.bottoms):
        return {}
    found: Dict[int, Changed] = {}
    for layer in large:
        parameter = copy_of(layer.parameter)
        for dims in parameter.input_param.shape:
            dims.dim[0] = 1
        found[layer.index] = layer.rewritten(parameter, ()), "with a batch of 1"
    return found


def _is_by_item(net: Net, layer: Layer, batch: int) -> bool:
    """Whether the layer computes of the first item of random bottoms what it computes of it among others."""
    shapes = [net.shapes[value] for value in net.bottoms(layer)]
    if not layer.tops:
        return True
    if any(shape is None or None in shape for shape in shapes):
        return False
    sizes = [tuple(dim or 0 for dim in shape or ()) for shape in shapes]
    bottoms = [bottom.astype(np.float32) for bottom in random_bottoms(sizes)]
    firsts = [bottom[:1] if size[:1] == (batch,) else bottom for bottom, size in zip(bottoms, sizes)]
    if not fits(layer, sizes) or not fits(layer, [first.shape for first in firsts]):
        return False  # for example a Reshape that names the batch
    return all(_begins_with(of_all, of_first) for of_all, of_first in zip(layer.run(bottoms), layer.run(firsts)))


def _begins_with(values: np.ndarray, first: np.ndarray) -> bool:
    if not values.ndim or values[:1].shape != first.shape:
        return False
    bound = _NOISE * float(np.max(np.abs(values), initial=0.0))
    return bool(np.all(np.abs(values[:1] - first) <= bound))


_NOT_FIELDS = "an Input layer, not `input` fields"
INPUT_LAYER = Demand("input-layer", _NOT_FIELDS, partial(_fields, REFUSES), by=UPGRADING)
# Some versions take both.
RATHER_INPUT_LAYER = Demand("input-layer", _NOT_FIELDS, partial(_fields, COMPLAINS), by=UPGRADING)
INPUT_ONCE = Demand("input-once", "`input` fields or Input layers, not both", _twice, by=UPGRADING)
INPUT_FIELDS = Demand("input-fields", "`input` and `input_shape` fields, no Input layer", _layers, by=WRITING)
INPUT_SHAPE = Demand("input-shape", "the shape of each input", _without_shape, each(_with_shape))
BATCH_1 = Demand("batch-1", "a batch of 1", _batches, _of_one)
