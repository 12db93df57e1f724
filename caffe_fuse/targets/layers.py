"""Demands on the types and fields of layers, and layers written as others that compute the same."""

from __future__ import annotations

from functools import partial
from typing import Any, FrozenSet, Iterable, List, Optional, Tuple

import numpy as np

from ..blobs.blob import ArrayBlob
from ..layers.pooling import pooling_windows
from ..layers.window import Window
from ..net.graph import Layer, Net
from ..schema.messages import copy_of, foreign_fields
from .demand import REFUSES, WRONG, Demand, Finding, each

# Fields that choose a kernel, a type or a memory: docs/command.md lists their sources.
_SILENT = frozenset(
    {
        *("engine", "conv_algorithm", "cudnn_convolution_algo_seeker", "conv_algos_override", "cudnn_math_override"),
        *("forward_type", "backward_type", "forward_math", "backward_math", "debug"),
    }
)
# In SSD's messages, what only some forks of SSD have.
_OF_FORKS = {
    "detection_output_param": ("clip", "normalized_bbox"),
    "prior_box_param": ("offset_h", "offset_w", "width", "height"),
}
_BVLC_ENGINES = ("DEFAULT", "CAFFE", "CUDNN")


def known_types(*extra: str, missing: Iterable[str] = ()) -> Demand:
    """The types of BVLC Caffe without the missing ones, and these."""
    less = f" without {', '.join(sorted(missing))}" if missing else ""
    more = f", and {', '.join(sorted(extra))}" if extra else ""
    known = partial(_unknown_types, frozenset(extra), frozenset(missing))
    return Demand("types", f"the layer types of BVLC Caffe{less}{more}", known)


def _unknown_types(extra: FrozenSet[str], missing: FrozenSet[str], net: Net) -> List[Finding]:
    found: List[Finding] = []
    for layer in net.layers:
        kind = layer.layer_type
        is_known = kind is not None and not kind.foreign and kind.name == layer.type and kind.name not in missing
        if not is_known and layer.type not in extra and not _is_rewritten(layer):
            found.append(Finding("types", layer, REFUSES, f"has the type {layer.type}, which the tool does not know"))
    return found


def _is_rewritten(layer: Layer) -> bool:
    """Whether a demand of its own is about the type of this layer."""
    return layer.type == "HoleConvolution" or layer.kind in ("ConvolutionDepthwise", "Upsample")


def known_fields(*messages: str) -> Demand:
    """The fields of BVLC Caffe, and these messages of other Caffes as a whole."""
    more = f", and {', '.join(sorted(messages))}" if messages else ""
    allowed = frozenset(messages)
    return Demand(
        "fields",
        f"the fields of BVLC Caffe{more}",
        partial(_unknown_fields, allowed),
        each(partial(_without_silent, allowed)),
    )


def _unknown_fields(allowed: FrozenSet[str], net: Net) -> List[Finding]:
    found: List[Finding] = []
    for layer in net.layers:
        names = [unknown.path for unknown in layer.unknown]
        names += [path for path, _, _ in _foreign(layer.parameter, allowed)]
        if names and not _is_rewritten(layer):
            what = f"has {', '.join(names[:3])}, which the tool does not know"
            found.append(Finding("fields", layer, REFUSES, what))
    return found


def _foreign(parameter: Any, allowed: FrozenSet[str]) -> List[Tuple[str, Any, Any]]:
    """Path, descriptor and value of each field, or engine, that BVLC Caffe does not have."""
    found = [field for field in foreign_fields(parameter) if field[0] not in allowed]
    known = {path for path, _, _ in found}
    for name in allowed & _OF_FORKS.keys():
        inside = getattr(parameter, name).ListFields()
        found += [(f"{name}.{field.name}", field, value) for field, value in inside if field.name in _OF_FORKS[name]]
    for field, value in parameter.ListFields():
        engine = None if not hasattr(value, "DESCRIPTOR") else value.DESCRIPTOR.fields_by_name.get("engine")
        if engine is None or f"{field.name}.engine" in known:
            continue
        if engine.enum_type.values_by_number[value.engine].name not in _BVLC_ENGINES:
            found.append((f"{field.name}.engine", engine, value.engine))
    return found


def _without_silent(allowed: FrozenSet[str], _net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
    """Without foreign fields that change nothing, or have their default, if the layer has no others."""
    fields = _foreign(layer.parameter, allowed)
    if not fields or any(field.name not in _SILENT and not _is_default(field, value) for _, field, value in fields):
        return None
    parameter = copy_of(layer.parameter)
    for path, _, _ in fields:
        *outer, name = path.split(".")
        message = parameter
        for step in outer:
            message = getattr(message, step)
        message.ClearField(name)
    return layer.rewritten(parameter, layer.blobs), f"without {', '.join(path for path, _, _ in fields)}"


def _is_default(field: Any, value: Any) -> bool:
    return field.message_type is None and not hasattr(value, "append") and bool(value == field.default_value)


def _plain_convolution(net: Net, layer: Layer) -> Optional[Tuple[Layer, str]]:
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


def _depthwise_types(net: Net) -> List[Finding]:
    return [
        Finding("depthwise", layer, REFUSES, f"has the type {layer.type}, which the tool does not know")
        for layer in net.layers
        if layer.type == "HoleConvolution" or layer.kind == "ConvolutionDepthwise"
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


def _upsamples(net: Net) -> List[Finding]:
    return [
        Finding("upsample", layer, REFUSES, "has the type Upsample, or fields of it, which the tool does not know")
        for layer in net.layers
        if layer.kind == "Upsample"
    ]


def _overhanging(net: Net) -> List[Finding]:
    """Caffe divides by the part of a window that is in the padded image (pooling_layer.cpp:184)."""
    found: List[Finding] = []
    for layer in net.layers:
        settings = layer.parameter.pooling_param
        if layer.kind != "Pooling" or settings.pool != settings.AVE or settings.global_pooling:
            continue
        bottom, top = (net.shapes[values[0]] for values in (net.bottoms(layer), net.tops(layer)))
        if bottom is None or top is None or len(bottom) != 4 or None in (*bottom, *top):
            continue
        slid = zip(pooling_windows(layer.parameter, bottom[2:]), bottom[2:], top[2:])
        if any(_hangs_over(window, size or 0, steps or 0) for window, size, steps in slid):
            what = "is a mean of windows that reach beyond the padding, whose size the tool takes to be whole"
            found.append(Finding("whole-windows", layer, WRONG, what))
    return found


def _hangs_over(window: Window, size: int, steps: int) -> bool:
    return (steps - 1) * window.stride + window.kernel > window.before + size + window.after


DEPTHWISE = Demand(
    "depthwise", "Convolution with groups, no type of its own for it", _depthwise_types, each(_plain_convolution)
)
UPSAMPLE = Demand("upsample", "no Upsample: a Deconvolution with a kernel of ones", _upsamples, each(_repeated))
WHOLE_WINDOWS = Demand("whole-windows", "AVE Pooling only of windows within the padded image", _overhanging)
