"""Demands on layers, and layers written as others that compute the same."""

from __future__ import annotations

from functools import partial
from typing import FrozenSet, List, Optional, Sequence, Tuple

import numpy as np

from ..blobs.blob import FLOAT32, ArrayBlob, CastBlob
from ..net.graph import Layer, Net
from ..net.model import Model
from ..schema.messages import copy_of
from .demand import REFUSES, SIMPLIFYING, WRONG, Demand, Finding, each


def _plain(net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """A depthwise type as a Convolution with one group for each channel; one with holes, with dilation."""
    if layer.type != "HoleConvolution" and layer.kind != "ConvolutionDepthwise":
        return None
    parameter = copy_of(layer.parameter)
    settings = parameter.convolution_param
    parameter.type = "Convolution"
    if layer.kind == "ConvolutionDepthwise":
        bottom = net.shapes[net.bottoms(layer)[0]]
        channels = None if bottom is None else bottom[1]
        if channels is None:
            return None
        settings.group = channels
        return layer.rewritten(parameter, layer.blobs), f"as a Convolution with {channels} groups"
    if settings.HasField("hole_h") and settings.hole_h != settings.hole_w:
        return None
    settings.dilation.append(settings.hole or settings.hole_h)
    for name in ("hole", "hole_h", "hole_w"):
        settings.ClearField(name)
    return layer.rewritten(parameter, layer.blobs), f"as a Convolution with dilation {settings.dilation[0]}"


def depthwise(*known: str) -> Demand:
    """known: types for it that the tool has."""
    besides = f" besides {', '.join(known)}" if known else ""
    find = partial(_depthwise_types, known)
    return Demand("depthwise", f"Convolution with groups, no type of its own for it{besides}", find, each(_plain))


def _depthwise_types(known: Sequence[str], model: Model) -> List[Finding]:
    return [
        Finding("depthwise", layer, REFUSES, f"has the type {layer.type}, which the tool does not know")
        for layer in model.net.layers
        if (layer.type == "HoleConvolution" or layer.kind == "ConvolutionDepthwise") and layer.type not in known
    ]


def _repeated(net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """An Upsample that repeats its elements as a Deconvolution of each channel with ones."""
    factors = _factors(net, layer)
    bottom = net.shapes[net.bottoms(layer)[0]] if layer.bottoms else None
    if factors is None or bottom is None or bottom[1] is None:
        return None
    parameter = copy_of(layer.parameter)
    parameter.ClearField("upsample_param")
    del parameter.bottom[1:]  # only its size was read
    parameter.type = "Deconvolution"
    settings, channels = parameter.convolution_param, bottom[1]
    settings.num_output = settings.group = channels
    settings.bias_term = False
    if factors[0] == factors[1]:
        settings.kernel_size.append(factors[0])
        settings.stride.append(factors[0])
    else:
        settings.kernel_h, settings.kernel_w = settings.stride_h, settings.stride_w = factors
    ones = ArrayBlob(np.ones((channels, 1, *factors), np.float32))
    return layer.rewritten(parameter, (ones,)), f"as a Deconvolution with {channels} groups and a kernel of ones"


def _factors(net: Net, layer: Layer) -> Optional[Tuple[int, int]]:
    settings = layer.parameter.upsample_param
    masked = len(layer.bottoms) > 1 and not settings.HasField("mode")  # SegNet's, whose second bottom says where to
    if layer.kind != "Upsample" or masked or layer.unknown:
        return None
    shapes = [net.shapes[values[0]] for values in (net.bottoms(layer), net.tops(layer))]
    if settings.mode != settings.NEAREST or any(shape is None or None in shape for shape in shapes):
        return None
    (_, _, *small), (_, _, *large) = [[dim or 0 for dim in shape or ()] for shape in shapes]
    if any(now % was for was, now in zip(small, large)):
        return None
    return large[0] // small[0], large[1] // small[1]


def upsample(*known: str) -> Demand:
    """known: the fields with which the tool takes it."""
    besides = f", unless it has only {', '.join(known)}" if known else ""
    find = partial(_upsamples, frozenset(known))
    return Demand("upsample", f"no Upsample: a Deconvolution with a kernel of ones{besides}", find, each(_repeated))


def _upsamples(known: FrozenSet[str], model: Model) -> List[Finding]:
    found: List[Finding] = []
    for layer in model.net.layers:
        fields = {field.name for field, _ in layer.parameter.upsample_param.ListFields()}
        if layer.kind == "Upsample" and not (known and fields <= known):
            what = "has the type Upsample, or fields of it, which the tool does not know"
            found.append(Finding("upsample", layer, REFUSES, what))
    return found


def _biases(model: Model) -> List[Finding]:
    return [
        Finding("bias", layer, REFUSES, "has the type Bias, which the tool does not know")
        for layer in model.net.layers
        if layer.kind == "Bias"
    ]


def _scale_of_ones(net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """A Bias as a Scale by ones."""
    if layer.kind != "Bias" or len(layer.bottoms) != 1 or len(layer.blobs) != 1 or net.shared_with(layer):
        return None
    parameter = copy_of(layer.parameter)
    parameter.type = "Scale"
    for name in ("axis", "num_axes"):
        if parameter.bias_param.HasField(name):
            setattr(parameter.scale_param, name, getattr(parameter.bias_param, name))
    parameter.ClearField("bias_param")
    parameter.scale_param.bias_term = True
    ones = ArrayBlob(np.ones(layer.blobs[0].shape, np.float32))
    return layer.rewritten(parameter, (ones, *layer.blobs)), "as a Scale by ones"


def _lone_scales(model: Model) -> List[Finding]:
    return [
        Finding("scale", layer, REFUSES, "is a Scale that does not follow a BatchNorm")
        for layer in model.net.layers
        if layer.kind == "Scale" and not _ends_a_batch_norm(model.net, layer)
    ]


def _ends_a_batch_norm(net: Net, layer: Layer) -> bool:
    source = net.producer(net.bottoms(layer)[0])
    return source is not None and source.is_batch_norm


def _pointwise(net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """A Scale of the channels of images as a depthwise Convolution with a kernel of 1x1."""
    if layer.kind != "Scale" or len(layer.bottoms) != 1 or not layer.blobs or net.shared_with(layer):
        return None
    bottom, settings = net.shapes[net.bottoms(layer)[0]], layer.parameter.scale_param
    is_of_channels = bottom is not None and len(bottom) == 4 and layer.blobs[0].shape == (bottom[1],)
    if not is_of_channels or settings.axis not in (1, -3) or _ends_a_batch_norm(net, layer):
        return None
    (channels,) = layer.blobs[0].shape
    parameter = copy_of(layer.parameter)
    parameter.ClearField("scale_param")
    parameter.type = "Convolution"
    convolution = parameter.convolution_param
    convolution.num_output = convolution.group = channels
    convolution.kernel_size.append(1)
    convolution.bias_term = settings.bias_term
    weights = CastBlob(layer.blobs[0], FLOAT32, (channels, 1, 1, 1))
    return layer.rewritten(parameter, (weights, *layer.blobs[1:])), f"as a Convolution of 1x1 with {channels} groups"


def without(*kinds: str) -> Demand:
    """None of these types, which do nothing and can go."""
    return Demand("simple", f"no {', no '.join(kinds)}", partial(_idle, kinds), by=SIMPLIFYING)


def _idle(kinds: Sequence[str], model: Model) -> List[Finding]:
    return [
        Finding("simple", layer, REFUSES, f"has the type {layer.type}, which the tool does not know")
        for layer in model.net.layers
        if layer.kind in kinds
    ]


def _transposed(model: Model) -> List[Finding]:
    return [
        Finding("transposed", layer, WRONG, "has transpose: true, which the tool does not look at")
        for layer in model.net.layers
        if layer.kind == "InnerProduct" and layer.parameter.inner_product_param.transpose
    ]


def _straight(net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """An InnerProduct with its matrix as Caffe usually stores it, (outputs, inputs)."""
    if layer.kind != "InnerProduct" or not layer.parameter.inner_product_param.transpose:
        return None
    if not layer.blobs or net.shared_with(layer):
        return None
    parameter = copy_of(layer.parameter)
    parameter.inner_product_param.ClearField("transpose")
    matrix = layer.blobs[0].array()
    weights = ArrayBlob(np.ascontiguousarray(matrix.reshape(matrix.shape[-2:]).T))
    return layer.rewritten(parameter, (weights, *layer.blobs[1:])), "with its matrix transposed"


BIAS = Demand("bias", "no Bias: a Scale by ones", _biases, each(_scale_of_ones))
SCALE = Demand("scale", "a Scale only after a BatchNorm: alone a Convolution of 1x1", _lone_scales, each(_pointwise))
TRANSPOSED = Demand("transposed", "InnerProduct without transpose: true", _transposed, each(_straight))
