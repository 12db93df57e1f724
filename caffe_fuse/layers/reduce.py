"""Layers that make few numbers of many: Reduction, ArgMax, Accuracy and the losses."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from .row import BlobShapes, LayerType, Shape, Shapes
from .shapes import axis_of, replaced, require


def _reduction_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: reduction_layer.cpp Reshape."""
    axis = parameter.reduction_param.axis
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        return [None if axis < 0 else (None,) * axis]
    return [bottom[: axis_of(axis, len(bottom))]]


def _argmax_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Without an axis (num, 1 or 2, top_k), and ones up to the bottom's rank (Caffe: argmax_layer.cpp)."""
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
        raise InputError(f"top_k {settings.top_k} has to be between 1 and the {searched or '?'} values there are")
    return [top]


def _accuracy_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """One number, and on a second top one for each class (Caffe: accuracy_layer.cpp Reshape)."""
    scores, _ = require(bottoms, 2)
    classes = None if scores is None else scores[axis_of(parameter.accuracy_param.axis, len(scores))]
    return [(), (classes,)]


def _loss_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """One number; a second top holds what the first bottom became (Caffe: softmax_loss_layer.cpp Reshape)."""
    return [(), require(bottoms, 1)[0]]


_LOSSES = (
    "ContrastiveLoss",
    "EuclideanLoss",
    "HingeLoss",
    "InfogainLoss",
    "MultiBoxLoss",
    "MultinomialLogisticLoss",
    "SigmoidCrossEntropyLoss",
    "SmoothL1Loss",
    "SoftmaxWithLoss",
)

ROWS = (
    LayerType("Reduction", _reduction_shapes),
    LayerType("ArgMax", _argmax_shapes),
    LayerType("Accuracy", _accuracy_shapes),
    *(LayerType(name, _loss_shapes) for name in _LOSSES),
)
