"""Layers that reduce their bottoms: Reduction, ArgMax, Accuracy and the losses."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, List

import numpy as np

from ..errors import InputError
from .layer_type import BlobShapes, LayerType, Shape, Shapes
from .shapes import axis_of, replaced, require, unknown_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays


def _reduction_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: reduction_layer.cpp Reshape."""
    axis = parameter.reduction_param.axis
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        return [None if axis < 0 else unknown_axes(axis)]
    return [bottom[: axis_of(axis, len(bottom))]]


def _reduction_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: reduction_layer.cpp Forward_cpu."""
    settings, (x,) = parameter.reduction_param, bottoms
    kept = x.shape[: axis_of(settings.axis, x.ndim)]
    rows = x.reshape(*kept, prod(x.shape[len(kept) :]))
    if settings.operation == settings.ASUM:
        rows = np.abs(rows)
    elif settings.operation == settings.SUMSQ:
        rows = np.square(rows)
    total = rows.mean(-1) if settings.operation == settings.MEAN else rows.sum(-1)
    return [np.asarray(settings.coeff * total, x.dtype)]


def _argmax_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Without an axis (num, 1 or 2, top_k), padded with ones to the bottom's rank (Caffe: argmax_layer.cpp)."""
    settings = parameter.argmax_param
    (bottom,) = require(bottoms, 1)
    if not bottom:
        return [None]
    if settings.HasField("axis"):
        axis = axis_of(settings.axis, len(bottom))
        searched = bottom[axis]
        top: Shape = replaced(bottom, axis, settings.top_k)
    else:
        searched = None
        rest = (1,) * (len(bottom) - 3)
        top = (bottom[0], 2 if settings.out_max_val else 1, settings.top_k, *rest)
    if settings.top_k < 1 or (searched is not None and settings.top_k > searched):
        raise InputError(f"top_k {settings.top_k} has to be from 1 to {searched or '?'}, the number of values")
    return [top]


def _argmax_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Of equal values the last comes first (Caffe: argmax_layer.cpp Forward_cpu, which sorts pairs)."""
    settings, (x,) = parameter.argmax_param, bottoms
    if settings.HasField("axis"):
        axis = axis_of(settings.axis, x.ndim)
        rows = np.moveaxis(x, axis, -1)
        order = _largest(rows, settings.top_k)
        best = np.take_along_axis(rows, order, -1) if settings.out_max_val else order.astype(x.dtype)
        return [np.ascontiguousarray(np.moveaxis(best, -1, axis))]
    rows = x.reshape(len(x), -1)
    if settings.top_k > rows.shape[1]:
        raise InputError(f"top_k {settings.top_k} has to be from 1 to {rows.shape[1]}, the number of values")
    order = _largest(rows, settings.top_k)
    parts = [order.astype(x.dtype)]
    if settings.out_max_val:
        parts.append(np.take_along_axis(rows, order, -1))
    return [np.stack(parts, axis=1).reshape(len(x), len(parts), settings.top_k, *(1,) * (x.ndim - 3))]


def _largest(rows: NDArray[Any], count: int) -> NDArray[np.intp]:
    """The indices of the largest values of each row, largest first."""
    return np.argsort(rows, axis=-1, kind="stable")[..., ::-1][..., :count]


def _accuracy_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """A scalar, and on a second top one value for each class (Caffe: accuracy_layer.cpp Reshape)."""
    scores, _ = require(bottoms, 2)
    classes = None if scores is None else scores[axis_of(parameter.accuracy_param.axis, len(scores))]
    return [(), (classes,)]


def _loss_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """A scalar; a second top holds the normalised first bottom (Caffe: softmax_loss_layer.cpp Reshape)."""
    return [(), require(bottoms, 1)[0]]


_LOSSES = (
    "ContrastiveLoss",
    "EuclideanLoss",
    "HingeLoss",
    "InfogainLoss",
    "MultinomialLogisticLoss",
    "SigmoidCrossEntropyLoss",
    "SoftmaxWithLoss",
)

LAYER_TYPES = (
    LayerType("Reduction", _reduction_shapes, forward=_reduction_forward, most=1),
    LayerType("ArgMax", _argmax_shapes, forward=_argmax_forward, most=1),
    LayerType("Accuracy", _accuracy_shapes),
    *(LayerType(name, _loss_shapes, topless=True) for name in _LOSSES),  # Caffe: layer.hpp AutoTopBlobs
    *(LayerType(name, _loss_shapes, topless=True, foreign=True) for name in ("MultiBoxLoss", "SmoothL1Loss")),
)
