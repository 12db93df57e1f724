"""Demands on biases, statistics, names, and layers in place."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from typing import AbstractSet, Any, Dict, List, Optional, Tuple

import numpy as np

from ..blobs.blob import ArrayBlob
from ..generations import V2
from ..net.graph import Layer, Net
from ..schema.messages import PHASES, copy_of
from .demand import REFUSES, WRONG, Changed, Demand, Finding, each


def _bias_settings(parameter: Any) -> Any:
    """The message with the bias_term of a layer that has one; None for other types."""
    for name in ("convolution_param", "inner_product_param", "scale_param"):
        if parameter.HasField(name):
            return getattr(parameter, name)
    return parameter.scale_param if parameter.type == "Scale" else None


def _implicit_bias(net: Net) -> List[Finding]:
    """Only of a Scale it is known that TensorRT then reads a missing blob."""
    return [
        Finding("explicit-bias", layer, WRONG, "does not say whether it has a bias")
        for layer in net.layers
        if layer.kind == "Scale" and not layer.parameter.scale_param.HasField("bias_term")
    ]


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


def _with_bias(net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    if layer.kind != "Scale" or layer.parameter.scale_param.bias_term:
        return None
    if len(layer.blobs) != 1 or len(layer.bottoms) != 1 or net.shared_with(layer):
        return None
    parameter = copy_of(layer.parameter)
    parameter.scale_param.bias_term = True
    zeros = ArrayBlob(np.zeros(layer.blobs[0].shape, np.float32))
    return layer.rewritten(parameter, (*layer.blobs, zeros)), "with a bias of zeros"


def _open_statistics(net: Net) -> List[Finding]:
    """Batch statistics, and a factor of 0, by which converters divide."""
    found: List[Finding] = []
    for layer in net.layers:
        settings = layer.parameter.batch_norm_param
        if _has_factor(layer) and settings.HasField("use_global_stats") and not settings.use_global_stats:
            found.append(Finding("statistics", layer, REFUSES, "says use_global_stats: false"))
        elif _has_factor(layer) and _factor(layer) == 0:
            found.append(Finding("statistics", layer, WRONG, "has a factor of 0"))
    return found


def _has_factor(layer: Layer) -> bool:
    return layer.kind == "BatchNorm" and layer.reading is None and len(layer.blobs) == 3


def _factor(layer: Layer) -> float:
    return float(layer.blobs[2].array().reshape(-1)[0])


def _with_statistics(net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """Caffe: batch_norm_layer.cpp:100, a factor of 0 makes both 0."""
    settings = layer.parameter.batch_norm_param
    if not _has_factor(layer) or layer.parameter.phase != PHASES["TEST"] or net.shared_with(layer):
        return None
    if settings.use_global_stats and _factor(layer) == 1:
        return None
    if settings.HasField("use_global_stats") and not settings.use_global_stats:
        return None
    mean, variance = (blob.array().astype(np.float64) for blob in layer.blobs[:2])
    share = 1 / _factor(layer) if _factor(layer) else 0.0
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


def _in_their_own_blobs(net: Net, kept: AbstractSet[str]) -> Dict[int, Changed]:
    """Layers in place on an input write a blob of their own, and their consumers read it; an output keeps its name."""
    names = _own_blobs(net, kept)
    found: Dict[int, Changed] = {}
    for layer in net.layers:
        bottoms, tops = (
            [names[value.blob] if value.blob in names and value.version else value.blob for value in values]
            for values in (net.bottoms(layer), net.tops(layer))
        )
        new = layer.rewired(bottoms, tops)
        if new is not layer:
            found[layer.index] = new, f"reads {', '.join(bottoms)}, writes {', '.join(tops)}"
    return found


def _own_blobs(net: Net, kept: AbstractSet[str]) -> Dict[str, str]:
    """For each input that a layer writes in place, the name of what is written.

    Not where that is an output, or a layer that stays as it is reads or writes it.
    """
    fixed = {value.blob for value in net.outputs}
    for layer in net.layers:
        if layer.name in kept or layer.generation != V2:
            fixed.update(layer.bottoms, layer.tops)
    found: Dict[str, str] = {}
    for finding in _in_place_on_inputs(net):
        assert finding.layer is not None
        for blob in set(finding.layer.bottoms) & set(finding.layer.tops) - fixed - set(found):
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


def _names_for_paddle(net: Net) -> List[Finding]:
    """X2Paddle writes / and - as _, and capitals small, except where it returns the output of a layer."""
    found: List[Finding] = []
    first: Dict[str, str] = {}
    outputs = set(net.outputs)
    for layer in net.layers:
        name = _for_paddle(layer.name)
        if name in first:
            what = f"has the name {layer.name!r}, which the tool writes like {first[name]!r}"
            found.append(Finding("names", layer, REFUSES, what, "rename it in both files"))
        elif layer.name != layer.name.lower() and outputs & set(net.tops(layer)):
            what = f"is an output and has the name {layer.name!r}, with capitals"
            found.append(Finding("names", layer, REFUSES, what, "rename it in both files"))
        first.setdefault(name, layer.name)
    return found


def _for_paddle(name: str) -> str:
    return re.sub("[/-]", "_", name).lower()


def _renamed_for_paddle(net: Net, kept: AbstractSet[str]) -> Dict[int, Changed]:
    taken = Counter(_for_paddle(layer.name) for layer in net.layers)
    found: Dict[int, Changed] = {}
    for finding in _names_for_paddle(net):
        layer = finding.layer
        assert layer is not None
        if layer.name in kept or layer.generation != V2:
            continue
        name = _for_paddle(layer.name)
        taken[name] -= 1
        while taken[name]:
            name += "_"
        taken[name] += 1
        parameter = copy_of(layer.parameter)
        parameter.name = name
        found[layer.index] = layer.rewritten(parameter, layer.blobs), f"the name is {name}"
    return found


EXPLICIT_BIAS = Demand("explicit-bias", "bias_term written out", _implicit_bias, each(_with_explicit_bias))
SCALE_BIAS = Demand("scale-bias", "each Scale with a bias", _without_bias, each(_with_bias))
STATISTICS = Demand("statistics", "use_global_stats: true and a factor of 1", _open_statistics, each(_with_statistics))
NOT_IN_PLACE = Demand("in-place", "no layer in place on an input of the net", _in_place_on_inputs, _in_their_own_blobs)
SCALE_BLOBS = Demand("scale-blobs", "no Scale with two bottoms", _scaled_by_another)
LOWER_NAMES = Demand(
    "names",
    "layer names that differ in more than case and / - _, those of outputs without capitals",
    _names_for_paddle,
    _renamed_for_paddle,
)
