"""Layers that normalise each element by its neighbours: LRN, MVN, Normalize, Softmax."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, List, Sequence

import numpy as np

from ..errors import InputError
from .layer_type import CLASSES, BlobShapes, Dims, LayerType, Shapes
from .pooling import average, image
from .ranges import UNKNOWN, Passage, Range, squashed, with_zero
from .shapes import axis_of, like_bottom, require
from .window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays


def _lrn_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: lrn_layer.cpp LayerSetUp and Reshape."""
    if parameter.lrn_param.local_size % 2 == 0:
        raise InputError(f"local_size {parameter.lrn_param.local_size} has to be odd")
    image(bottoms)
    return [bottoms[0]]


def _channel_shapes(parameter: Any, bottoms: Shapes, blobs: BlobShapes) -> Shapes:
    """Axes that are missing after the channels count as 1 (Caffe: blob.hpp LegacyShape)."""
    (bottom,) = require(bottoms, 1)
    if bottom is not None:
        axis_of(1, len(bottom))
    return like_bottom(parameter, bottoms, blobs)


def _softmax_shapes(parameter: Any, bottoms: Shapes, blobs: BlobShapes) -> Shapes:
    (bottom,) = require(bottoms, 1)
    if bottom is not None:
        axis_of(parameter.softmax_param.axis, len(bottom))
    return like_bottom(parameter, bottoms, blobs)


def _lrn_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: lrn_layer.cpp; within a channel k is 1, and the padding counts in the average."""
    settings, (x,) = parameter.lrn_param, bottoms
    size, reach = settings.local_size, (settings.local_size - 1) // 2
    if settings.norm_region == settings.WITHIN_CHANNEL:
        window = Window(size, reach, reach, 1)
        scale = 1 + settings.alpha * average(np.square(x), (window, window), round_up=True)
    else:
        squares = np.zeros((x.shape[0], x.shape[1] + size - 1, *x.shape[2:]), x.dtype)
        np.square(x, out=squares[:, reach : reach + x.shape[1]])
        total = np.zeros_like(x)
        for offset in range(size):
            total += squares[:, offset : offset + x.shape[1]]
        scale = settings.k + settings.alpha / size * total
    return [x * scale ** -np.asarray(settings.beta, x.dtype)]


def _lrn_ranges(passage: Passage) -> List[Range]:
    """Divided by at least k^beta: the squares only add to it."""
    settings, (x,) = passage.parameter.lrn_param, passage.ranges
    within = settings.norm_region == settings.WITHIN_CHANNEL
    least = 1.0 if within else settings.k
    with np.errstate(all="ignore"):
        divisor = np.float64(least) ** settings.beta
    if not (settings.alpha >= 0 and settings.beta >= 0 and least > 0 and 0 < divisor < np.inf):
        return [UNKNOWN]
    smaller = with_zero(x)
    return [Range(smaller.lows / divisor, smaller.highs / divisor)]


def _mvn_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """eps is added to the standard deviation (Caffe: mvn_layer.cpp Forward_cpu)."""
    settings, (x,) = parameter.mvn_param, bottoms
    rows = x.reshape(x.shape[0] * (1 if settings.across_channels else x.shape[1]), -1)
    top = rows - rows.mean(1, keepdims=True)
    if settings.normalize_variance:
        deviation = np.sqrt(np.square(top).mean(1, keepdims=True))
        top /= deviation + x.dtype.type(np.float32(settings.eps))
    return [top.reshape(x.shape)]


def _normalize_blobs(parameter: Any, bottoms: Shapes) -> Sequence[Dims]:
    """One scale, or one for each channel (SSD: normalize_layer.cpp LayerSetUp)."""
    (bottom,) = require(bottoms, 1)
    if parameter.norm_param.channel_shared:
        return [()]
    return [(None if bottom is None else bottom[axis_of(1, len(bottom))],)]


def _normalize_forward(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Each image, or each pixel, is normalised to length 1, then scaled (SSD: normalize_layer.cpp Forward_cpu)."""
    settings, (x,) = parameter.norm_param, bottoms
    axes = tuple(range(1, x.ndim)) if settings.across_spatial else (1,)
    length = np.sqrt(np.square(x).sum(axes, keepdims=True) + x.dtype.type(np.float32(settings.eps)))
    scale = blobs[0].astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))
    return [x / length * scale]


def _normalize_ranges(passage: Passage) -> List[Range]:
    """No element of a vector of length 1 is larger than 1."""
    scale = np.abs(np.asarray(passage.blobs[0], np.float64).reshape(-1))
    return [Range(-scale, scale)]


def _softmax_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: softmax_layer.cpp Forward_cpu."""
    (x,) = bottoms
    axis = axis_of(parameter.softmax_param.axis, x.ndim)
    powers = np.exp(x - x.max(axis, keepdims=True))
    return [powers / powers.sum(axis, keepdims=True)]


LAYER_TYPES = (
    LayerType("LRN", _lrn_shapes, forward=_lrn_forward, ranges=_lrn_ranges, most=1),
    LayerType("MVN", _channel_shapes, forward=_mvn_forward, most=1),
    LayerType(
        "Normalize",
        _channel_shapes,
        _normalize_blobs,
        forward=_normalize_forward,
        ranges=_normalize_ranges,
        most=1,
        foreign=True,
    ),
    LayerType(
        "Softmax", _softmax_shapes, forward=_softmax_forward, ranges=partial(squashed, 0.0), most=1, answer=CLASSES
    ),
)
