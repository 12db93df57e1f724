"""InnerProduct: every element of its bottom from `axis` on contributes to every sum."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..blobs.scaled import Layout
from ..errors import InputError
from .carried import UNKNOWN_SIZES
from .homogeneous import Moved, Setting, flattened, inputs_of, with_weights
from .layer_type import SCORES, Affine, BlobShapes, Dims, Inflow, Random, Refusal, Shape, Shapes
from .shapes import axis_of, known_axis, require, size, sizes, text, unknown_axes
from .weighted import absorber, is_plain, layer_type_of, sample, spread, unfit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays
    from .sliding import Product


def _inner_product_shapes(parameter: Any, bottoms: Shapes, _blob_shapes: BlobShapes) -> Shapes:
    """Caffe: inner_product_layer.cpp:71."""
    settings = parameter.inner_product_param
    (bottom,) = require(bottoms, 1)
    if settings.num_output < 1:
        raise InputError("num_output is missing")
    if bottom is None:
        return [None if settings.axis < 0 else (*unknown_axes(settings.axis), settings.num_output)]
    return [(*bottom[: axis_of(settings.axis, len(bottom))], settings.num_output)]


def _inner_product_blobs(parameter: Any, bottoms: Shapes) -> Sequence[Dims]:
    """Caffe: inner_product_layer.cpp:33."""
    settings = parameter.inner_product_param
    (bottom,) = require(bottoms, 1)
    outputs = settings.num_output
    inputs = None if bottom is None else size(bottom[axis_of(settings.axis, len(bottom)) :])
    weights = (inputs, outputs) if settings.transpose else (outputs, inputs)
    return [weights, (outputs,)][: 1 + settings.bias_term]


def _inner_product_layout(parameter: Any, shape: Sequence[int]) -> Layout:
    """The shape may be a legacy one of four axes, (1, 1, N, K) (Caffe: blob.cpp ShapeEquals)."""
    outputs, transposed = parameter.inner_product_param.num_output, parameter.inner_product_param.transpose
    matrix = tuple(shape[-2:])
    fits = len(matrix) == 2 and matrix[1 if transposed else 0] == outputs and prod(shape) == prod(matrix)
    if not fits or 0 in shape:
        raise unfit(shape, outputs)
    return Layout(1, matrix[0], outputs, 1) if transposed else Layout(1, 1, outputs, matrix[1])


def _inner_product_samples(parameter: Any, shape: Sequence[int], count: int, rng: Random) -> NDArray[np.int64]:
    """Output o owns row o, or column o of transposed weights (Caffe: inner_product_layer.cpp:33)."""
    outputs = parameter.inner_product_param.num_output
    inputs = prod(shape) // outputs
    picked = sample(outputs, inputs, count, rng)
    output = np.broadcast_to(np.arange(outputs)[:, None], picked.shape)
    if parameter.inner_product_param.transpose:
        return np.ravel_multi_index((picked, output), (inputs, outputs)).astype(np.int64)
    return np.ravel_multi_index((output, picked), (outputs, inputs)).astype(np.int64)


def _inner_product_inputs(parameter: Any, shape: Sequence[int], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Caffe: inner_product_layer.cpp:33."""
    outputs, transposed = parameter.inner_product_param.num_output, parameter.inner_product_param.transpose
    return np.asarray(places // outputs if transposed else places % (prod(shape) // outputs))


def _inner_product_outputs(parameter: Any, shape: Sequence[int], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Caffe: inner_product_layer.cpp:33."""
    outputs, transposed = parameter.inner_product_param.num_output, parameter.inner_product_param.transpose
    return np.asarray(places % outputs if transposed else places // (prod(shape) // outputs))


def _inner_product_inflow(
    parameter: Any, shape: Sequence[int], affine: Affine, bottom: Shape
) -> Union[Inflow, Refusal]:
    """The axes from `axis` on become the inputs, the channels with all that is on the axes after theirs."""
    if bottom is None:
        return UNKNOWN_SIZES
    axis = axis_of(parameter.inner_product_param.axis, len(bottom))
    inner, outer = size(bottom[affine.axis + 1 :]), size(bottom[axis : affine.axis])
    if affine.channels == 1:
        return spread(affine, _input_layout(parameter, shape), None)
    if affine.axis < axis or inner is None or outer != 1:
        return Refusal(f"axis {affine.axis} of {text(bottom)} is not the first of its inputs")
    return spread(affine, _input_layout(parameter, shape), affine.axis, inner)


def _input_layout(parameter: Any, shape: Sequence[int]) -> Layout:
    first, second = shape[-2:]
    return Layout(1, 1, first, second) if parameter.inner_product_param.transpose else Layout(1, first, second, 1)


def _inner_product_inputs_shape(parameter: Any, _shape: Sequence[int], bottom: Shape) -> Tuple[int, ...]:
    dims = sizes(bottom)
    axis = axis_of(parameter.inner_product_param.axis, len(dims))
    return (*(1,) * axis, *dims[axis:])


def _inner_product_multiply_adds(parameter: Any, bottoms: Shapes, tops: Shapes) -> Optional[int]:
    bottom, top = bottoms[0], tops[0]
    if bottom is None or top is None:
        return None
    return size([*top, *bottom[axis_of(parameter.inner_product_param.axis, len(bottom)) :]])


def _one_row(parameter: Any, shape: Dims) -> Optional[Dims]:
    return (1, *shape[1:]) if axis_of(parameter.inner_product_param.axis, len(shape)) else None


def _inner_product_homogeneous(setting: Setting) -> Optional[Moved]:
    settings, shape = setting.parameter.inner_product_param, setting.bottoms[0]
    axis = known_axis(settings.axis, shape)
    if not is_plain(setting, settings) or axis is None:
        return None
    first, second = setting.blobs[0][-2:]
    columns = _input_layout(setting.parameter, setting.blobs[0])
    rows = Layout(1, first, second, 1) if settings.transpose else Layout(1, 1, first, second)
    flat = None if shape is None else flattened(setting, axis, len(shape) - 1)
    return with_weights(setting, axis, rows, columns, inputs_of(setting, flat, axis, columns.channels))


def _inner_product(parameter: Any, blobs: Arrays, bottoms: Arrays, product: Product) -> List[NDArray[Any]]:
    """Caffe: inner_product_layer.cpp Forward_cpu."""
    settings, (bottom,) = parameter.inner_product_param, bottoms
    axis = axis_of(settings.axis, bottom.ndim)
    rows = bottom.reshape(prod(bottom.shape[:axis]), -1)
    weights = blobs[0].reshape(blobs[0].shape[-2:])
    top = product(rows, weights if settings.transpose else weights.T, None)
    if settings.bias_term:
        top += blobs[1].reshape(-1)
    return [top.reshape(*bottom.shape[:axis], settings.num_output)]


LAYER_TYPES = (
    layer_type_of(
        "InnerProduct",
        _inner_product_shapes,
        _inner_product_blobs,
        absorber(
            "inner_product_param",
            _inner_product_layout,
            _inner_product_samples,
            _inner_product_inputs,
            _inner_product_outputs,
            _inner_product_inflow,
            _inner_product_inputs_shape,
            least=_one_row,
            has_space=False,
        ),
        _inner_product,
        _inner_product_homogeneous,
        "inner_product_param",
        multiply_adds=_inner_product_multiply_adds,
        most=1,
        answer=SCORES,
    ),
)
