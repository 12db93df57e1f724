"""Layers that work on each number by itself and keep the shape: ReLU, PReLU, Sigmoid, TanH, Exp ..."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Sequence

import numpy as np

from ..errors import InputError
from .homogeneous import unchanged
from .layer_type import BlobShapes, Dims, LayerType, Shapes
from .shapes import axis_of, like_bottom, require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays

Array = Any  # numpy's own types do not say that arithmetic on an array gives one
Function = Callable[[Any, Array], Array]


def _relu(parameter: Any, x: Array) -> Array:
    """Caffe: relu_layer.cpp Forward_cpu. Without a slope -inf becomes 0, as in cuDNN, and no NaN."""
    slope = parameter.relu_param.negative_slope
    return np.maximum(x, 0) + slope * np.minimum(x, 0) if slope else np.maximum(x, 0)


def _elu(parameter: Any, x: Array) -> Array:
    """Caffe: elu_layer.cpp Forward_cpu."""
    return np.maximum(x, 0) + parameter.elu_param.alpha * (np.exp(np.minimum(x, 0)) - 1)


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), without an overflow (Caffe: sigmoid_layer.cpp)."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _swish(parameter: Any, x: Array) -> Array:
    """Caffe: swish_layer.cpp Forward_cpu."""
    return x * logistic(parameter.swish_param.beta * x)


def _bnll(_parameter: Any, x: Array) -> Array:
    """log(1 + exp(x)), without an overflow (Caffe: bnll_layer.cpp)."""
    return np.maximum(x, 0) + np.log(1 + np.exp(-np.abs(x)))


def _exp(parameter: Any, x: Array) -> Array:
    """base ^ (shift + scale * x), base -1 stands for e (Caffe: exp_layer.cpp LayerSetUp)."""
    settings = parameter.exp_param
    log_base = _log_base(settings)
    return np.exp(log_base * settings.scale * x) * float(np.exp(log_base * settings.shift))


def _log(parameter: Any, x: Array) -> Array:
    """The logarithm to the base of shift + scale * x (Caffe: log_layer.cpp LayerSetUp)."""
    settings = parameter.log_param
    return np.log(settings.scale * x + settings.shift) * (1 / _log_base(settings))


def _log_base(settings: Any) -> float:
    """InputError for a base without a logarithm (Caffe: exp_layer.cpp and log_layer.cpp LayerSetUp)."""
    if settings.base == -1:
        return 1.0
    if not 0 < settings.base < math.inf:
        raise InputError(f"base {settings.base:g} has to be a number above 0, or -1 for e")
    return math.log(settings.base)


def _exp_shapes(parameter: Any, bottoms: Shapes, blobs: BlobShapes) -> Shapes:
    _log_base(parameter.exp_param)
    return like_bottom(parameter, bottoms, blobs)


def _log_shapes(parameter: Any, bottoms: Shapes, blobs: BlobShapes) -> Shapes:
    if _log_base(parameter.log_param) == 0:
        raise InputError("base 1 has no logarithms")
    return like_bottom(parameter, bottoms, blobs)


def _threshold(parameter: Any, x: Array) -> Array:
    return (x > parameter.threshold_param.threshold).astype(x.dtype)


def _clip(parameter: Any, x: Array) -> Array:
    """Caffe: clip_layer.cpp Forward_cpu."""
    return np.maximum(parameter.clip_param.min, np.minimum(x, parameter.clip_param.max))


_FUNCTIONS: Dict[str, Function] = {
    "AbsVal": lambda _parameter, x: np.abs(x),
    "BNLL": _bnll,
    "Clip": _clip,
    "ELU": _elu,
    "Exp": _exp,
    "Log": _log,
    "ReLU": _relu,
    "ReLU6": lambda _parameter, x: np.minimum(np.maximum(x, 0), 6),
    "Sigmoid": lambda _parameter, x: logistic(x),
    "Swish": _swish,
    "TanH": lambda _parameter, x: np.tanh(x),
    "Threshold": _threshold,
}


_SHAPES = {"Exp": _exp_shapes, "Log": _log_shapes}
_HOMOGENEOUS = frozenset({"AbsVal", "ReLU"})


def _row(name: str, function: Function) -> LayerType:
    def forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
        return [function(parameter, bottoms[0])]

    homogeneous = unchanged if name in _HOMOGENEOUS else None
    return LayerType(name, _SHAPES.get(name, like_bottom), forward=forward, most=1, homogeneous=homogeneous)


def _prelu_blobs(parameter: Any, bottoms: Shapes) -> Sequence[Dims]:
    """One slope, or one for each channel (Caffe: prelu_layer.cpp LayerSetUp)."""
    if parameter.prelu_param.channel_shared:
        return [()]
    (bottom,) = require(bottoms, 1)
    return [(None if bottom is None else bottom[axis_of(1, len(bottom))],)]


def _prelu_forward(_parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: prelu_layer.cpp Forward_cpu."""
    (x,) = bottoms
    slope = blobs[0].astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))
    return [np.maximum(x, 0) + slope * np.minimum(x, 0)]


ROWS = (
    *(_row(name, function) for name, function in _FUNCTIONS.items()),
    LayerType("PReLU", like_bottom, _prelu_blobs, forward=_prelu_forward, most=1, homogeneous=unchanged),
)
