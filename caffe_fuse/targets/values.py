"""Demands on biases, statistics, names, and layers in place."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import numpy as np

from ..blobs.blob import ArrayBlob
from ..net.graph import Layer, Net
from ..net.model import Model
from ..schema.messages import PHASES, copy_of
from .demand import REFUSES, WRONG, Demand, Finding, each


def _bias_settings(parameter: Any) -> Any:
    """The message with the bias_term of a layer that has one; None for other types."""
    for name in ("convolution_param", "inner_product_param", "scale_param"):
        if parameter.HasField(name):
            return getattr(parameter, name)
    return parameter.scale_param if parameter.type == "Scale" else None


def _implicit_bias(model: Model) -> List[Finding]:
    """Only of a Scale it is known that TensorRT then reads a missing blob."""
    return [
        Finding("explicit-bias", layer, WRONG, "does not say whether it has a bias")
        for layer in model.net.layers
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


def _written_out(model: Model) -> List[Finding]:
    return [
        Finding("absent-bias", layer, WRONG, "is a Scale that says bias_term: false")
        for layer in model.net.layers
        if layer.kind == "Scale" and _says_no_bias(layer)
    ]


def _says_no_bias(layer: Layer) -> bool:
    settings = layer.parameter.scale_param
    return bool(settings.HasField("bias_term")) and not settings.bias_term


def _without_the_word(_net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    if layer.kind != "Scale" or not _says_no_bias(layer):
        return None
    parameter = copy_of(layer.parameter)
    parameter.scale_param.ClearField("bias_term")
    return layer.rewritten(parameter, layer.blobs), "without bias_term: false"


def _without_bias(model: Model) -> List[Finding]:
    return [
        Finding("scale-bias", layer, REFUSES, "is a Scale without a bias")
        for layer in model.net.layers
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


def _open_statistics(model: Model) -> List[Finding]:
    """Batch statistics, and a factor of 0, by which converters divide."""
    found: List[Finding] = []
    for layer in model.net.layers:
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


EXPLICIT_BIAS = Demand("explicit-bias", "bias_term written out", _implicit_bias, each(_with_explicit_bias))
ABSENT_BIAS = Demand("absent-bias", "bias_term of a Scale only if it is true", _written_out, each(_without_the_word))
SCALE_BIAS = Demand("scale-bias", "each Scale with a bias", _without_bias, each(_with_bias))
STATISTICS = Demand("statistics", "use_global_stats: true and a factor of 1", _open_statistics, each(_with_statistics))
