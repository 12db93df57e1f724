"""Elementwise layers, and Eltwise."""

from __future__ import annotations

import math
from typing import List

import numpy as np

from .rules import Layer, NotComputed, along, layer_type


@layer_type("ReLU")
def relu(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    slope = layer.parameter.relu_param.negative_slope
    return [np.maximum(bottoms[0], 0) + slope * np.minimum(bottoms[0], 0)]


@layer_type("ReLU6")
def relu6(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """A fork's layer, y = min(max(x, 0), 6)."""
    return [np.clip(bottoms[0], 0, 6)]


@layer_type("PReLU", learns=True)
def prelu(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: prelu_layer.cpp, the channels are on axis 1, a shared slope is a scalar, the filler is 0.25."""
    p = layer.parameter.prelu_param
    shape = () if p.channel_shared else (bottoms[0].shape[1],)
    value = p.filler.value if p.HasField("filler") else 0.25
    slope = layer.blobs(shape, fillers=[value])[0]
    if not p.channel_shared:
        slope = along(slope, 1, bottoms[0].ndim)
    return [np.maximum(bottoms[0], 0) + slope * np.minimum(bottoms[0], 0)]


@layer_type("ELU")
def elu(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: elu_layer.cpp."""
    return [np.maximum(bottoms[0], 0) + layer.parameter.elu_param.alpha * (np.exp(np.minimum(bottoms[0], 0)) - 1)]


def logistic(values: np.ndarray) -> np.ndarray:
    """Caffe: sigmoid_layer.cpp, by tanh so that nothing overflows."""
    return 0.5 * np.tanh(0.5 * values) + 0.5


@layer_type("Sigmoid")
def sigmoid(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return [logistic(bottoms[0])]


@layer_type("Swish")
def swish(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: swish_layer.cpp, x * sigmoid(beta * x)."""
    return [bottoms[0] * logistic(layer.parameter.swish_param.beta * bottoms[0])]


@layer_type("HardSigmoid")
def hard_sigmoid(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """A fork's layer, a line that is cut at 0 and 1."""
    p = layer.parameter.hard_sigmoid_param
    return [np.clip(p.alpha * bottoms[0] + p.beta, 0, 1)]


@layer_type("HardSwish")
def hard_swish(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """A fork's layer, x * relu6(x + 3) / 6."""
    x = bottoms[0]
    return [np.where(x <= -3, 0, np.where(x >= 3, x, x * (x + 3) / 6))]


@layer_type("Mish")
def mish(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """A fork's layer, x * tanh(softplus(x)); with e = exp(-|x|) the tanh is a fraction in which nothing overflows."""
    x = bottoms[0]
    e = np.exp(-np.abs(x))
    return [x * np.where(x < 0, e * e + 2 * e, 1 + 2 * e) / np.where(x < 0, e * e + 2 * e + 2, 1 + 2 * e + 2 * e * e)]


@layer_type("TanH")
def tanh(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return [np.tanh(bottoms[0])]


@layer_type("AbsVal")
def absval(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return [np.abs(bottoms[0])]


@layer_type("BNLL")
def bnll(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: bnll_layer.cpp, log(1 + exp(x))."""
    return [np.maximum(bottoms[0], 0) + np.log(1 + np.exp(-np.abs(bottoms[0])))]


@layer_type("Power")
def power(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: power_layer.cpp, (shift + scale * x) ** power; no x is read where power * scale is 0."""
    p = layer.parameter.power_param
    if p.power * p.scale == 0:
        return [np.full_like(bottoms[0], 1.0 if p.power == 0 else p.shift**p.power)]
    top = bottoms[0] * p.scale + p.shift
    return [top if p.power == 1 else top**p.power]


@layer_type("Exp")
def exponential(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: exp_layer.cpp, base ** (shift + scale * x), base -1 means e."""
    p = layer.parameter.exp_param
    log_base = 1.0 if p.base == -1 else math.log(p.base)
    return [np.exp(bottoms[0] * (log_base * p.scale)) * math.exp(log_base * p.shift)]


@layer_type("Log")
def logarithm(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: log_layer.cpp, the logarithm of shift + scale * x, base -1 means e."""
    p = layer.parameter.log_param
    log_base = 1.0 if p.base == -1 else math.log(p.base)
    return [np.log(bottoms[0] * p.scale + p.shift) / log_base]


@layer_type("Threshold")
def threshold(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    return [bottoms[0] > layer.parameter.threshold_param.threshold]


@layer_type("Clip")
def clip(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    p = layer.parameter.clip_param
    return [np.clip(bottoms[0], p.min, p.max)]


@layer_type("Dropout")
def dropout(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: dropout_layer.cpp, TEST copies; TRAIN is random, hence unknown."""
    if not layer.is_test:
        raise NotComputed
    return [bottoms[0].copy()]


@layer_type("Eltwise")
def eltwise(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: eltwise_layer.cpp."""
    p = layer.parameter.eltwise_param
    coefficients = list(p.coeff) or [1.0] * len(bottoms)
    operation = p.EltwiseOp.Name(p.operation)
    top = bottoms[0] * coefficients[0] if operation == "SUM" else bottoms[0].copy()
    for bottom, coefficient in zip(bottoms[1:], coefficients[1:]):
        if operation == "SUM":
            top = top + coefficient * bottom
        elif operation == "PROD":
            top = top * bottom
        else:
            top = np.maximum(top, bottom)
    return [top]
