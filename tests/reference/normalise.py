"""BatchNorm, Scale, Bias, LRN, MVN, Softmax."""

from __future__ import annotations

from typing import Any, List

import numpy as np

from . import forks
from .pooling import Pool, average
from .rules import CaffeAbort, Layer, Shape, along, canonical, filler, layer_type


@layer_type("BatchNorm", learns=True)
def batch_norm(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: batch_norm_layer.cpp:14-31 and 98-152."""
    p = layer.parameter.batch_norm_param
    bottom = bottoms[0]
    if bottom.ndim < 2:
        raise CaffeAbort(f"layer {layer.parameter.name}: BatchNorm of a blob with {bottom.ndim} axes")
    if forks.is_foreign(layer):
        return forks.batch_norm(layer, bottoms)
    channels = bottom.shape[1]
    mean, variance, factor = layer.blobs((channels,), (channels,), (1,))
    is_global = p.use_global_stats if p.HasField("use_global_stats") else layer.is_test
    if is_global:
        reciprocal = 0 if factor[0] == 0 else 1 / factor[0]
        mean, variance = mean * reciprocal, variance * reciprocal
    else:
        others = tuple(axis for axis in range(bottom.ndim) if axis != 1)
        mean = bottom.mean(others)
        variance = ((bottom - along(mean, 1, bottom.ndim)) ** 2).mean(others)
    centred = bottom - along(mean, 1, bottom.ndim)
    return [centred / along(np.sqrt(variance + layer.dtype.type(p.eps)), 1, bottom.ndim)]


def _learned_shape(p: Any, shape: Shape) -> Shape:
    """Caffe: scale_layer.cpp:19 and proto:1115-1123, num_axes -1 reaches to the end, 0 is a scalar."""
    axis = canonical(p.axis, len(shape))
    if p.num_axes != -1 and axis + p.num_axes > len(shape):
        raise CaffeAbort(f"{p.num_axes} axes from {axis} of {len(shape)}")
    return shape[axis:] if p.num_axes == -1 else shape[axis : axis + p.num_axes]


@layer_type("Scale", learns=True)
def scale(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: scale_layer.cpp."""
    p = layer.parameter.scale_param
    bottom = bottoms[0]
    is_learned = len(bottoms) == 1
    shape = _learned_shape(p, bottom.shape) if is_learned else bottoms[1].shape
    axis = canonical(p.axis, bottom.ndim) if shape else 0
    value = filler(p.filler) if p.HasField("filler") and 0 not in layer.stored else 1.0
    shift = filler(p.bias_filler) if len(layer.stored) < is_learned + p.bias_term else 0.0
    blobs = layer.blobs(*[shape] * (is_learned + p.bias_term), fillers=[value] * is_learned + [shift])
    factor = blobs[0] if is_learned else bottoms[1]
    top = bottom * along(factor, axis, bottom.ndim)
    return [top + along(blobs[-1], axis, bottom.ndim) if p.bias_term else top]


@layer_type("Bias", learns=True)
def bias(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: bias_layer.cpp."""
    p = layer.parameter.bias_param
    bottom = bottoms[0]
    if len(bottoms) == 2:
        layer.blobs()
        shift = bottoms[1]
    else:
        value = 0.0 if 0 in layer.stored else filler(p.filler)
        shift = layer.blobs(_learned_shape(p, bottom.shape), fillers=[value])[0]
    axis = canonical(p.axis, bottom.ndim) if shift.ndim else 0
    return [bottom + along(shift, axis, bottom.ndim)]


@layer_type("LRN")
def local_response(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: lrn_layer.cpp; within a channel k is not used and the average counts the padding."""
    p = layer.parameter.lrn_param
    bottom = bottoms[0]
    before = (p.local_size - 1) // 2
    squares = bottom**2
    if p.norm_region == p.WITHIN_CHANNEL:
        pool = Pool((p.local_size,) * 2, (1, 1), (before, before), is_floor=False)
        return [bottom * (1 + p.alpha * average(squares, pool)) ** -p.beta]
    around = np.pad(squares, [(0, 0), (before, before), (0, 0), (0, 0)])
    total = sum(around[:, offset : offset + bottom.shape[1]] for offset in range(p.local_size))
    return [bottom * (p.k + p.alpha / p.local_size * total) ** -p.beta]


@layer_type("MVN")
def mean_variance(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: mvn_layer.cpp, eps is added to the standard deviation."""
    p = layer.parameter.mvn_param
    bottom = bottoms[0]
    rows = bottom.reshape(bottom.shape[0] * (1 if p.across_channels else bottom.shape[1]), -1)
    top = rows - rows.mean(1, keepdims=True)
    if p.normalize_variance:
        top = top / (np.sqrt((top**2).mean(1, keepdims=True)) + layer.dtype.type(p.eps))
    return [top.reshape(bottom.shape)]


@layer_type("Softmax")
def softmax(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    axis = canonical(layer.parameter.softmax_param.axis, bottoms[0].ndim)
    powers = np.exp(bottoms[0] - bottoms[0].max(axis, keepdims=True))
    return [powers / powers.sum(axis, keepdims=True)]
