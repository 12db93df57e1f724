"""Layers whose output is a weighted sum: Convolution, Deconvolution, InnerProduct. They absorb an affine.

For each output channel o, s[o] * (sum(w[o] * x) + b[o]) + t[o] is again such a layer, with the weights
s[o] * w[o] and the bias s[o] * b[o] + t[o]. The three differ in which weights belong to o.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..blobs.blob import FLOAT32, ArrayBlob, Blob
from ..blobs.scaled import Layout, ScaledBlob
from ..errors import InputError
from ..wording import counted
from .homogeneous import Moved, Setting, flattened, inputs_of, with_weights
from .layer_type import (
    SCORES,
    Absorbed,
    Absorber,
    Affine,
    BlobShapes,
    Dim,
    Dims,
    LayerType,
    Random,
    Refusal,
    Shape,
    Shapes,
)
from .products import convolve, convolve_each_channel, deconvolve, inner_product
from .shapes import agreed, axis_of, known_axis, require, size, unknown_axes
from .sliding import matmul
from .window import Window, rank_of_space, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _convolution_shapes(
    resized: Callable[[Window, Dim], Dim], parameter: Any, bottoms: Shapes, blob_shapes: BlobShapes
) -> Shapes:
    require(bottoms, 1)
    agreed(bottoms)
    return [_convolved(resized, parameter.convolution_param, bottom, blob_shapes) for bottom in bottoms]


def _convolved(resized: Callable[[Window, Dim], Dim], settings: Any, bottom: Shape, blob_shapes: BlobShapes) -> Shape:
    if bottom is None:
        space = rank_of_space(settings, blob_shapes)
        if space is None or settings.axis < 0:
            return None
        bottom = unknown_axes(settings.axis + 1 + space)
    axis = axis_of(settings.axis, len(bottom))
    _check_groups(settings, bottom[axis])
    sizes = map(resized, windows(settings, len(bottom) - axis - 1), bottom[axis + 1 :])
    return (*bottom[:axis], settings.num_output, *sizes)


def _check_groups(settings: Any, inputs: Dim) -> None:
    """Caffe: base_conv_layer.cpp LayerSetUp."""
    group, outputs = settings.group, settings.num_output
    if outputs < 1:
        raise InputError("num_output is missing")
    if group < 1 or outputs % group or (inputs or 0) % group:
        found = "?" if inputs is None else inputs
        raise InputError(f"group {group} does not divide {found} input and {outputs} output channels")


def _convolution_blobs(
    weight_channels: Callable[[Any, Dim], Tuple[Dim, Dim]], parameter: Any, bottoms: Shapes
) -> Sequence[Dims]:
    """Two axes of space are assumed where neither the bottom nor the kernel tells."""
    settings = parameter.convolution_param
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        space, inputs = rank_of_space(settings, ()) or 2, None
    else:
        axis = axis_of(settings.axis, len(bottom))
        space, inputs = len(bottom) - axis - 1, bottom[axis]
    _check_groups(settings, inputs)
    weights = (*weight_channels(settings, inputs), *(window.kernel for window in windows(settings, space)))
    return [weights, (settings.num_output,)][: 1 + settings.bias_term]


def _shared_out(channels: Dim, group: int) -> Dim:
    return None if channels is None else channels // group


def _filters_first(settings: Any, inputs: Dim) -> Tuple[Dim, Dim]:
    """Caffe: base_conv_layer.cpp:134."""
    return settings.num_output, _shared_out(inputs, settings.group)


def _inputs_first(settings: Any, inputs: Dim) -> Tuple[Dim, Dim]:
    """Caffe: base_conv_layer.cpp:124, the roles change places in a deconvolution."""
    return inputs, _shared_out(settings.num_output, settings.group)


def _filter_per_channel(settings: Any, _inputs: Dim) -> Tuple[Dim, Dim]:
    """The forks' depthwise types have one filter for each channel, and often leave `group` out."""
    return settings.num_output, 1


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


def _convolution_layout(parameter: Any, shape: Sequence[int]) -> Layout:
    outputs = parameter.convolution_param.num_output
    if not shape or shape[0] != outputs or 0 in shape:
        raise _unfit(shape, outputs)
    return Layout(1, 1, outputs, prod(shape[1:]))


def _deconvolution_layout(parameter: Any, shape: Sequence[int]) -> Layout:
    group, outputs = parameter.convolution_param.group, parameter.convolution_param.num_output
    if len(shape) < 2 or group * shape[1] != outputs or shape[0] % group or 0 in shape:
        raise _unfit(shape, outputs)
    return Layout(group, shape[0] // group, shape[1], prod(shape[2:]))


def _inner_product_layout(parameter: Any, shape: Sequence[int]) -> Layout:
    """The shape may be the old four axes, (1, 1, N, K) (Caffe: blob.cpp ShapeEquals)."""
    outputs, transposed = parameter.inner_product_param.num_output, parameter.inner_product_param.transpose
    matrix = tuple(shape[-2:])
    fits = len(matrix) == 2 and matrix[1 if transposed else 0] == outputs and prod(shape) == prod(matrix)
    if not fits or 0 in shape:
        raise _unfit(shape, outputs)
    return Layout(1, matrix[0], outputs, 1) if transposed else Layout(1, 1, outputs, matrix[1])


def _unfit(shape: Sequence[int], outputs: int) -> InputError:
    found = "x".join(map(str, shape)) or "()"
    return InputError(
        f"weights of shape {found} do not fit num_output {outputs}",
        remedy="check that the prototxt and the weights belong together",
    )


def _sample(channels: int, owned: int, count: int, rng: Random) -> NDArray[np.int64]:
    """Positions below `owned`, (channels, min(count, owned)): for each channel one of each equal part."""
    edges = np.arange(min(count, owned) + 1, dtype=np.int64) * owned // min(count, owned)
    steps = rng.random((channels, 1)) * np.diff(edges)
    return np.asarray(edges[:-1] + steps.astype(np.int64), dtype=np.int64)


def _convolution_columns(_parameter: Any, shape: Sequence[int], count: int, rng: Random) -> NDArray[np.int64]:
    """Channel o owns w[o] (Caffe: base_conv_layer.cpp:267)."""
    owned = prod(shape[1:])
    return np.arange(shape[0])[:, None] * owned + _sample(shape[0], owned, count, rng)


def _deconvolution_columns(parameter: Any, shape: Sequence[int], count: int, rng: Random) -> NDArray[np.int64]:
    """Channel o owns w[g*Ci/G : (g+1)*Ci/G, o % (Co/G)], g = o // (Co/G) (Caffe: base_conv_layer.cpp:284)."""
    outputs, inputs = parameter.convolution_param.num_output, shape[0] // parameter.convolution_param.group
    kernel = prod(shape[2:])
    channel = np.arange(outputs)[:, None]
    row, position = np.divmod(_sample(outputs, inputs * kernel, count, rng), kernel)
    rows = channel // shape[1] * inputs + row
    filters = (shape[0], shape[1], kernel)
    return np.ravel_multi_index((rows, channel % shape[1], position), filters).astype(np.int64)


def _inner_product_columns(parameter: Any, shape: Sequence[int], count: int, rng: Random) -> NDArray[np.int64]:
    """Output o owns row o, or column o of transposed weights (Caffe: inner_product_layer.cpp:33)."""
    outputs = parameter.inner_product_param.num_output
    inputs = prod(shape) // outputs
    picked = _sample(outputs, inputs, count, rng)
    output = np.broadcast_to(np.arange(outputs)[:, None], picked.shape)
    if parameter.inner_product_param.transpose:
        return np.ravel_multi_index((picked, output), (inputs, outputs)).astype(np.int64)
    return np.ravel_multi_index((output, picked), (outputs, inputs)).astype(np.int64)


def _is_plain(setting: Setting, settings: Any) -> bool:
    """Whether there is one bottom, and the blobs that the parameter asks for."""
    return len(setting.channels) == 1 and len(setting.blobs) == 1 + settings.bias_term


def _convolution_homogeneous(setting: Setting, transposed: bool = False, depthwise: bool = False) -> Optional[Moved]:
    settings = setting.parameter.convolution_param
    if not _is_plain(setting, settings) or settings.axis < 0:
        return None
    first, second, kernel = setting.blobs[0][0], setting.blobs[0][1], prod(setting.blobs[0][2:])
    group = settings.num_output if depthwise else settings.group
    if transposed:
        rows, columns = Layout(group, first // group, second, kernel), Layout(1, 1, first, second * kernel)
    else:
        rows, columns = Layout(1, 1, first, second * kernel), Layout(group, first // group, second, kernel)
    inputs = inputs_of(setting, setting.channels[0], settings.axis, columns.channels)
    return with_weights(setting, settings.axis, rows, columns, inputs)


def _inner_product_homogeneous(setting: Setting) -> Optional[Moved]:
    settings, shape = setting.parameter.inner_product_param, setting.bottoms[0]
    axis = known_axis(settings.axis, shape)
    if not _is_plain(setting, settings) or axis is None:
        return None
    first, second = setting.blobs[0][-2:]
    if settings.transpose:
        rows, columns = Layout(1, first, second, 1), Layout(1, 1, first, second)
    else:
        rows, columns = Layout(1, 1, first, second), Layout(1, first, second, 1)
    flat = None if shape is None else flattened(setting, axis, len(shape) - 1)
    return with_weights(setting, axis, rows, columns, inputs_of(setting, flat, axis, columns.channels))


def _absorb(
    settings_name: str,
    layout: Callable[[Any, Sequence[int]], Layout],
    parameter: Any,
    blobs: Sequence[Blob],
    affine: Affine,
) -> Union[Absorbed, Refusal]:
    """weights * scale and bias * scale + shift, in float64, each rounded once to float32."""
    settings = getattr(parameter, settings_name)
    channels = settings.num_output
    if len(blobs) != 1 + settings.bias_term:
        return Refusal(f"it has {counted(len(blobs), 'blob')} of weights, bias_term asks for {1 + settings.bias_term}")
    if affine.channels not in (1, channels):
        return Refusal(f"{affine.channels} channels behind it do not fit its {channels}")
    try:
        placed = layout(parameter, blobs[0].shape)
    except InputError as error:
        return Refusal(error.what)
    scale = np.broadcast_to(affine.scale, (channels,))
    with np.errstate(invalid="ignore"):  # a NaN that signals
        bias = blobs[1].array().astype(np.float64) if settings.bias_term else np.zeros(channels)
    if bias.size != channels:
        return Refusal(f"it has a bias of {bias.size} numbers for {channels} channels")
    with np.errstate(over="ignore", invalid="ignore"):
        new_bias = bias.reshape(-1) * scale + affine.shift
    refusal = _not_finite(scale, affine.shift, new_bias)
    if refusal is not None:
        return refusal
    changed = type(parameter)()
    changed.CopyFrom(parameter)
    if not settings.bias_term:
        getattr(changed, settings_name).bias_term = True
    new_blob = ArrayBlob(new_bias.reshape(bias.shape), FLOAT32)
    return Absorbed(changed, (ScaledBlob(blobs[0], placed, scale), new_blob))


def _not_finite(scale: NDArray[np.float64], shift: NDArray[np.float64], bias: NDArray[np.float64]) -> Optional[Refusal]:
    for name, values in (("scale", scale), ("shift", shift), ("new bias", bias)):
        with np.errstate(over="ignore"):
            bad = np.flatnonzero(~np.isfinite(values.astype(np.float32)))
        if bad.size:
            return Refusal(f"the {name} of channel {bad[0]}, {values[bad[0]]:g}, is not a finite float32")
    return None


def _channel_axis(settings_name: str, parameter: Any, bottom: Shape) -> Optional[int]:
    return known_axis(getattr(parameter, settings_name).axis, bottom)


def _absorber(
    settings_name: str,
    layout: Callable[[Any, Sequence[int]], Layout],
    columns: Callable[[Any, Sequence[int], int, Random], NDArray[np.int64]],
) -> Absorber:
    return Absorber(
        channels=lambda parameter: int(getattr(parameter, settings_name).num_output),
        layout=layout,
        has_bias=lambda parameter: bool(getattr(parameter, settings_name).bias_term),
        absorb=partial(_absorb, settings_name, layout),
        columns=columns,
    )


def _row(
    name: str,
    shapes: Callable[[Any, Shapes, BlobShapes], Shapes],
    blobs: Callable[[Any, Shapes], Sequence[Dims]],
    absorb: Absorber,
    sums: Callable[..., List[NDArray[Any]]],
    homogeneous: Callable[[Setting], Optional[Moved]],
    settings_name: str = "convolution_param",
    **others: Any,
) -> LayerType:
    forward = partial(sums, product=matmul)
    fillers = (settings_name, "weight_filler", "bias_filler")
    facets = LayerType(name, shapes, blobs, absorb=absorb, forward=forward, sums=sums, homogeneous=homogeneous)
    return facets._replace(fillers=fillers, channel_axis=partial(_channel_axis, settings_name), **others)


_CONVOLUTION_SHAPES = partial(_convolution_shapes, Window.convolved)
_CONVOLUTION_ABSORBER = _absorber("convolution_param", _convolution_layout, _convolution_columns)

ROWS = (
    _row(
        "Convolution",
        _CONVOLUTION_SHAPES,
        partial(_convolution_blobs, _filters_first),
        _CONVOLUTION_ABSORBER,
        convolve,
        _convolution_homogeneous,
    ),
    _row(
        "ConvolutionDepthwise",
        _CONVOLUTION_SHAPES,
        partial(_convolution_blobs, _filter_per_channel),
        _CONVOLUTION_ABSORBER,
        convolve_each_channel,
        partial(_convolution_homogeneous, depthwise=True),
        foreign=True,
    ),
    _row(
        "Deconvolution",
        partial(_convolution_shapes, Window.deconvolved),
        partial(_convolution_blobs, _inputs_first),
        _absorber("convolution_param", _deconvolution_layout, _deconvolution_columns),
        deconvolve,
        partial(_convolution_homogeneous, transposed=True),
    ),
    _row(
        "InnerProduct",
        _inner_product_shapes,
        _inner_product_blobs,
        _absorber("inner_product_param", _inner_product_layout, _inner_product_columns),
        inner_product,
        _inner_product_homogeneous,
        "inner_product_param",
        most=1,
        answer=SCORES,
    ),
)
