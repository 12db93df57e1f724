"""Demands on the files as a whole: the generation, the form of the inputs, and the type of the numbers."""

from __future__ import annotations

from typing import List

from ..blobs.blob import FLOAT16
from ..generations import V2
from ..net.graph import Net
from .demand import COMPLAINS, REFUSES, Demand, Finding


def _of_old_form(net: Net) -> List[Finding]:
    old = [layer for layer in net.layers if layer.generation != V2]
    if not old:
        return []
    what = f"is one of {len(old)} layers in the form {old[0].generation}"
    return [Finding("v2", old[0], REFUSES, what, "caffe-fuse upgrade")]


def _input_fields(net: Net) -> List[Finding]:
    if not net.inputs or any(layer.generation != V2 for layer in net.layers):
        return []
    what = f"the net has `input` fields ({', '.join(net.inputs)}) and no Input layer"
    return [Finding("input-layer", None, REFUSES, what, "caffe-fuse upgrade")]


def _input_layers(net: Net) -> List[Finding]:
    layers = [layer for layer in net.layers if layer.kind == "Input"]
    remedy = "replace it by `input` and `input_shape` fields"
    return [Finding("input-fields", layer, REFUSES, "is an Input layer", remedy) for layer in layers]


def _raw_halves(net: Net) -> List[Finding]:
    found = [layer for layer in net.layers if any(blob.dtype == FLOAT16 for blob in layer.blobs)]
    what = "has fp16 weights (raw_data), which the tool reads as none"
    return [Finding("float32", layer, REFUSES, what, "--blob-type float32") for layer in found]


def _batches(net: Net) -> List[Finding]:
    sources = dict(net.inputs)
    sources.update(
        {value.blob: net.shapes[value] for layer in net.layers if not layer.bottoms for value in net.tops(layer)}
    )
    large = {name: shape for name, shape in sources.items() if shape and shape[0] not in (1, None)}
    remedy = "write the batch 1 into the net"
    return [
        Finding("batch-1", None, COMPLAINS, f"input {name} has a batch of {shape[0]}", remedy)
        for name, shape in large.items()
        if shape
    ]


UPGRADED = Demand("v2", "layers in today's form, `layer { }`", _of_old_form, by_upgrade=True)
INPUT_LAYER = Demand("input-layer", "an Input layer, not `input` fields", _input_fields, by_upgrade=True)
INPUT_FIELDS = Demand("input-fields", "`input` and `input_shape` fields, no Input layer", _input_layers)
FLOAT32 = Demand("float32", "float32 weights: fp16 ones are not read", _raw_halves, by_writing=True)
BATCH_1 = Demand("batch-1", "a batch of 1", _batches)
