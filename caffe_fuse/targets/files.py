"""Demands on the files as a whole: the generation, the phase, and how the numbers are stored."""

from __future__ import annotations

from typing import List

from ..blobs.blob import FLOAT16
from ..generations import V1, V2
from ..net.model import Model
from ..protobuf.text import Scalar, Value
from .demand import DROPPING, REFUSES, UPGRADE, UPGRADING, WRITING, Demand, Finding

_DATA = ("AnnotatedData", "Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "WindowData")


def _of_old_form(model: Model) -> List[Finding]:
    old = [layer for layer in model.net.layers if layer.generation != V2]
    if not old:
        return []
    what = f"is one of {len(old)} layers in the form {old[0].generation}"
    return [Finding("v2", old[0], REFUSES, what, UPGRADE)]


def _types_as_text(model: Model) -> List[Finding]:
    return [
        Finding("v1-types", layer, REFUSES, f"is of the form V1 and has its type as text, {layer.type!r}", UPGRADE)
        for layer in model.net.layers
        if layer.generation == V1 and any(_is_text(value) for value in layer.node.all("type"))
    ]


def _is_text(value: Value) -> bool:
    return isinstance(value, Scalar) and value.text[:1] in "\"'"


def _raw_halves(model: Model) -> List[Finding]:
    found = [layer for layer in model.net.layers if any(blob.dtype == FLOAT16 for blob in layer.blobs)]
    what = "has fp16 weights (raw_data), which the tool reads as none"
    return [Finding("float32", layer, REFUSES, what) for layer in found]


def _of_other_phases(model: Model) -> List[Finding]:
    what = "takes part only in another phase or stage, but the tool takes it as well"
    return [Finding("one-phase", layer, REFUSES, what) for layer in model.excluded]


def _of_training(model: Model) -> List[Finding]:
    remedy = "give the deploy net, which has an Input layer instead, and no loss"
    found: List[Finding] = []
    for layer in model.net.layers:
        if layer.kind in _DATA:
            found.append(Finding("deploy", layer, REFUSES, "makes its images, or reads them from files", remedy))
        elif layer.kind == "Accuracy" or layer.kind.endswith("Loss"):
            found.append(Finding("deploy", layer, REFUSES, "is only for training and its tests", remedy))
    return found


UPGRADED = Demand("v2", "layers in today's form, `layer { }`", _of_old_form, by=UPGRADING)
V1_TYPES = Demand("v1-types", "types of V1 layers as words of its enum", _types_as_text, by=UPGRADING)
FLOAT32 = Demand("float32", "float32 weights: fp16 ones are not read", _raw_halves, by=WRITING)
ONE_PHASE = Demand(
    "one-phase", "only the layers of this phase: what is included elsewhere goes", _of_other_phases, by=DROPPING
)
DEPLOY = Demand("deploy", "no layers that make images or read them from files, no loss and no accuracy", _of_training)
