"""Demands on biases, statistics, names, and layers in place."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ..blobs.blob import ArrayBlob
from ..net.graph import Layer, Net
from ..schema.messages import PHASES, copy_of
from .demand import REFUSES, WRONG, Demand, Finding


def _bias_settings(parameter: Any) -> Any:
    """The message with the bias_term of a layer that has one; None for other types."""
    for name in ("convolution_param", "inner_product_param", "scale_param"):
        if parameter.HasField(name):
            return getattr(parameter, name)
    return parameter.scale_param if parameter.type == "Scale" else None


def _implicit_bias(net: Net) -> List[Finding]:
    found: List[Finding] = []
    for layer in net.layers:
        settings = _bias_settings(layer.parameter)
        if settings is not None and not settings.HasField("bias_term"):
            found.append(Finding("explicit-bias", layer, WRONG, "does not say whether it has a bias"))
    return found


def _with_explicit_bias(_net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    settings = _bias_settings(layer.parameter)
    if settings is None or settings.HasField("bias_term"):
        return None
    parameter = copy_of(layer.parameter)
    changed = _bias_settings(parameter)
    changed.bias_term = settings.bias_term
    return layer.rewritten(parameter, layer.blobs), f"bias_term: {str(settings.bias_term).lower()}"


def _without_bias(net: Net) -> List[Finding]:
    return [
        Finding("scale-bias", layer, REFUSES, "is a Scale without a bias")
        for layer in net.layers
        if layer.kind == "Scale" and not layer.parameter.scale_param.bias_term and len(layer.bottoms) == 1
    ]


def _with_bias(_net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    if (
        layer.kind != "Scale"
        or layer.parameter.scale_param.bias_term
        or len(layer.blobs) != 1
        or len(layer.bottoms) != 1
    ):
        return None
    parameter = copy_of(layer.parameter)
    parameter.scale_param.bias_term = True
    zeros = ArrayBlob(np.zeros(layer.blobs[0].shape, np.float32))
    return layer.rewritten(parameter, (*layer.blobs, zeros)), "with a bias of zeros"


def _open_statistics(net: Net) -> List[Finding]:
    """BatchNorm layers that leave open whether they use the stored statistics, or divide them by a factor."""
    what = "does not say use_global_stats: true, or has a factor other than 1"
    return [Finding("statistics", layer, WRONG, what) for layer in net.layers if _is_open(layer)]


def _is_open(layer: Layer) -> bool:
    if layer.kind != "BatchNorm" or layer.reading is not None or len(layer.blobs) != 3:
        return False
    return not layer.parameter.batch_norm_param.use_global_stats or float(layer.blobs[2].array().reshape(-1)[0]) != 1


def _with_statistics(_net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """Caffe: batch_norm_layer.cpp:100, a factor of 0 makes both 0."""
    settings = layer.parameter.batch_norm_param
    asks = settings.HasField("use_global_stats") and not settings.use_global_stats
    if not _is_open(layer) or asks or layer.parameter.phase != PHASES["TEST"]:
        return None
    mean, variance, factor = (blob.array().astype(np.float64) for blob in layer.blobs)
    divisor = float(factor.reshape(-1)[0])
    share = 1 / divisor if divisor else 0.0
    parameter = copy_of(layer.parameter)
    parameter.batch_norm_param.use_global_stats = True
    blobs = [ArrayBlob((values * share).astype(np.float32)) for values in (mean, variance)]
    one = ArrayBlob(np.ones(layer.blobs[2].shape, np.float32))
    return layer.rewritten(parameter, (*blobs, one)), "use_global_stats: true, statistics divided by their factor"


def _in_place_on_inputs(net: Net) -> List[Finding]:
    found: List[Finding] = []
    for layer in net.layers:
        for value, top in zip(net.bottoms(layer), layer.tops):
            producer = net.producer(value)
            if value.blob == top and (producer is None or not producer.bottoms):
                what = f"works in place on {top}, an input of the net"
                found.append(Finding("in-place", layer, REFUSES, what, "give its top another name"))
    return found


def _scaled_by_another(net: Net) -> List[Finding]:
    return [
        Finding("scale-blobs", layer, REFUSES, "is a Scale whose values come from another layer")
        for layer in net.layers
        if layer.kind == "Scale" and len(layer.bottoms) > 1
    ]


def _in_its_own_blob(net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """Layers in place on an input write a blob of their own, and their consumers read it; an output keeps its name."""
    names = _own_blobs(net)
    old = [net.bottoms(layer), net.tops(layer)]
    new = [[names.get(value.blob, value.blob) if value.version else value.blob for value in values] for values in old]
    if new == [list(layer.bottoms), list(layer.tops)]:
        return None
    parameter = copy_of(layer.parameter)
    for field, blobs in ((parameter.bottom, new[0]), (parameter.top, new[1])):
        del field[:]
        field.extend(blobs)
    return layer.rewritten(parameter, layer.blobs), f"reads {', '.join(new[0])}, writes {', '.join(new[1])}"


def _own_blobs(net: Net) -> Dict[str, str]:
    """For each input that a layer writes in place, and that is no output then, the name of what is written."""
    outputs = {value.blob for value in net.outputs}
    found: Dict[str, str] = {}
    for finding in _in_place_on_inputs(net):
        assert finding.layer is not None
        for blob in set(finding.layer.bottoms) & set(finding.layer.tops) - outputs - set(found):
            name = f"{blob}_{finding.layer.name}"
            while name in net.blob_names:
                name += "_"
            found[blob] = name
    return found


def legal_names(pattern: str, what: str) -> Demand:
    return Demand("names", what, partial(_illegal_names, re.compile(pattern)))


def _illegal_names(legal: Any, net: Net) -> List[Finding]:
    return [
        Finding("names", layer, REFUSES, f"has the name {layer.name!r}", "rename it in both files")
        for layer in net.layers
        if not legal.fullmatch(layer.name)
    ]


EXPLICIT_BIAS = Demand("explicit-bias", "bias_term written out", _implicit_bias, _with_explicit_bias)
SCALE_BIAS = Demand("scale-bias", "each Scale with a bias", _without_bias, _with_bias)
STATISTICS = Demand("statistics", "use_global_stats: true and a factor of 1", _open_statistics, _with_statistics)
NOT_IN_PLACE = Demand("in-place", "no layer in place on an input of the net", _in_place_on_inputs, _in_its_own_blob)
SCALE_BLOBS = Demand("scale-blobs", "no Scale with two bottoms", _scaled_by_another)
