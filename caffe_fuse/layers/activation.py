"""Elementwise layers, which keep the shape: ReLU, PReLU, Sigmoid, HardSwish, Exp ..."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence

import numpy as np

from ..errors import InputError
from .homogeneous import Homogeneous, unchanged
from .layer_type import BlobShapes, Dims, LayerType, Shapes
from .ranges import Forward, Passage, Range, elementwise, with_zero, zero_of_the_line
from .shapes import axis_of, like_bottom, require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays

Array = Any  # numpy's own types do not say that arithmetic on an array returns an array
Function = Callable[[Any, Array], Array]


def _relu(parameter: Any, x: Array) -> Array:
    """Caffe: relu_layer.cpp Forward_cpu. Without a slope -inf becomes 0, as in cuDNN, and not NaN."""
    slope = parameter.relu_param.negative_slope
    return np.maximum(x, 0) + slope * np.minimum(x, 0) if slope else np.maximum(x, 0)


def _elu(parameter: Any, x: Array) -> Array:
    """Caffe: elu_layer.cpp Forward_cpu."""
    return np.maximum(x, 0) + parameter.elu_param.alpha * (np.exp(np.minimum(x, 0)) - 1)


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow (Caffe: sigmoid_layer.cpp)."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _swish(parameter: Any, x: Array) -> Array:
    """Caffe: swish_layer.cpp Forward_cpu."""
    return x * logistic(parameter.swish_param.beta * x)


def _hard_sigmoid(parameter: Any, x: Array) -> Array:
    """Synopsys: hard_sigmoid_layer.cpp Forward_cpu."""
    settings = parameter.hard_sigmoid_param
    return np.minimum(np.maximum(settings.alpha * x + settings.beta, 0), 1)


def _hard_swish(_parameter: Any, x: Array) -> Array:
    """Synopsys: hard_swish_layer.cpp Forward_cpu."""
    return x * (np.minimum(np.maximum(x + 3, 0), 6) / 6)


def _mish(parameter: Any, x: Array) -> Array:
    """x * tanh(log(1 + exp(x))) (Synopsys: mish_layer.cpp Forward_cpu)."""
    return x * np.tanh(_bnll(parameter, x))


def _bnll(_parameter: Any, x: Array) -> Array:
    """log(1 + exp(x)), without overflow (Caffe: bnll_layer.cpp)."""
    return np.maximum(x, 0) + np.log(1 + np.exp(-np.abs(x)))


def _exp(parameter: Any, x: Array) -> Array:
    """base ^ (shift + scale * x); base -1 means e (Caffe: exp_layer.cpp LayerSetUp)."""
    settings = parameter.exp_param
    log_base = _log_base(settings)
    return np.exp(log_base * settings.scale * x) * float(np.exp(log_base * settings.shift))


def _log(parameter: Any, x: Array) -> Array:
    """The logarithm of shift + scale * x to the base (Caffe: log_layer.cpp LayerSetUp)."""
    settings = parameter.log_param
    return np.log(settings.scale * x + settings.shift) * (1 / _log_base(settings))


def _log_base(settings: Any) -> float:
    """The natural logarithm of the base. InputError if it has none (Caffe: exp_layer.cpp, log_layer.cpp LayerSetUp)."""
    if settings.base == -1:
        return 1.0
    if not 0 < settings.base < math.inf:
        raise InputError(f"base {settings.base:g} has to be positive and finite, or -1 for e")
    return math.log(settings.base)


def _exp_shapes(parameter: Any, bottoms: Shapes, blobs: BlobShapes) -> Shapes:
    _log_base(parameter.exp_param)
    return like_bottom(parameter, bottoms, blobs)


def _log_shapes(parameter: Any, bottoms: Shapes, blobs: BlobShapes) -> Shapes:
    if _log_base(parameter.log_param) == 0:
        raise InputError("logarithms to base 1 do not exist")
    return like_bottom(parameter, bottoms, blobs)


def _threshold(parameter: Any, x: Array) -> Array:
    return (x > parameter.threshold_param.threshold).astype(x.dtype)


def _clip(parameter: Any, x: Array) -> Array:
    """Caffe: clip_layer.cpp Forward_cpu."""
    return np.maximum(parameter.clip_param.min, np.minimum(x, parameter.clip_param.max))


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


def _at_zero(_parameter: Any) -> float:
    """Where a function may turn from rising to falling or back; any point will do if it never does."""
    return 0.0


def _bottom_of_swish(parameter: Any) -> float:
    """The x at which x / (1 + exp(-x)) has its minimum, the solution of x + 1 + exp(x) = 0, over beta."""
    beta = parameter.swish_param.beta
    return -1.2784645427610738 / beta if beta else 0.0


def _gated(forward: Forward, turning: Callable[[Any], float], passage: Passage) -> List[Range]:
    """x times a gate that tends to 0 on one side, where its product with infinity has no value."""
    (top,) = elementwise(forward, turning, passage)
    return [top if passage.ranges[0].bounded else with_zero(top)]


def _layer_type(
    name: str,
    function: Function,
    shapes: Callable[[Any, Shapes, BlobShapes], Shapes] = like_bottom,
    turning: Callable[[Any], float] = _at_zero,
    ranges: Callable[[Forward, Callable[[Any], float], Passage], List[Range]] = elementwise,
    homogeneous: Optional[Homogeneous] = None,
    cuts: bool = False,
    foreign: bool = False,
) -> LayerType:
    def forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
        return [function(parameter, bottoms[0])]

    carried = partial(ranges, forward, turning)
    facets = LayerType(name, shapes, forward=forward, most=1, ranges=carried, homogeneous=homogeneous)
    return facets._replace(cuts=cuts, foreign=foreign)


LAYER_TYPES = (
    _layer_type("AbsVal", lambda _parameter, x: np.abs(x), homogeneous=unchanged),
    _layer_type("BNLL", _bnll),
    _layer_type("Clip", _clip),
    _layer_type("ELU", _elu),
    _layer_type("Exp", _exp, _exp_shapes),
    _layer_type("HardSigmoid", _hard_sigmoid, foreign=True),
    _layer_type("HardSwish", _hard_swish, turning=lambda _parameter: -1.5, ranges=_gated, foreign=True),
    _layer_type("Log", _log, _log_shapes, turning=lambda parameter: zero_of_the_line(parameter.log_param)),
    _layer_type("Mish", _mish, turning=lambda _parameter: -1.1924312145031082, ranges=_gated, foreign=True),
    _layer_type("ReLU", _relu, homogeneous=unchanged, cuts=True)._replace(
        picks=lambda parameter: not parameter.relu_param.negative_slope
    ),
    _layer_type("ReLU6", lambda _parameter, x: np.minimum(np.maximum(x, 0), 6), foreign=True),
    _layer_type("Sigmoid", lambda _parameter, x: logistic(x)),
    _layer_type("Swish", _swish, turning=_bottom_of_swish, ranges=_gated),
    _layer_type("TanH", lambda _parameter, x: np.tanh(x)),
    _layer_type("Threshold", _threshold),
    LayerType(
        "PReLU",
        like_bottom,
        _prelu_blobs,
        forward=_prelu_forward,
        most=1,
        homogeneous=unchanged,
        ranges=partial(elementwise, _prelu_forward, _at_zero),
        fillers=("prelu_param", "filler"),
    ),
)
