"""Layers that work on each number, or on each channel or neighbourhood, and keep the shape."""

from __future__ import annotations

from typing import Any, Sequence

from .row import Dims, LayerType, Shapes
from .shapes import axis_of, like_bottom, require


def _prelu_blobs(parameter: Any, bottoms: Shapes) -> Sequence[Dims]:
    """One slope, or one for each channel (Caffe: prelu_layer.cpp LayerSetUp)."""
    if parameter.prelu_param.channel_shared:
        return [()]
    (bottom,) = require(bottoms, 1)
    return [(None if bottom is None else bottom[axis_of(1, len(bottom))],)]


_NAMES = (
    "AbsVal",
    "BNLL",
    "Clip",
    "ELU",
    "Exp",
    "LRN",
    "Log",
    "MVN",
    "Normalize",
    "ReLU",
    "ReLU6",
    "Sigmoid",
    "Softmax",
    "Swish",
    "TanH",
    "Threshold",
)

ROWS = (*(LayerType(name, like_bottom) for name in _NAMES), LayerType("PReLU", like_bottom, _prelu_blobs))
