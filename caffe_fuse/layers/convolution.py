"""Convolution, Deconvolution, and the depthwise convolution of forks."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..blobs.scaled import Layout
from ..errors import InputError
from .homogeneous import Moved, Setting, inputs_of, with_weights
from .layer_type import Affine, BlobShapes, Dim, Dims, Inflow, Random, Refusal, Shape, Shapes
from .shapes import agreed, axis_of, known_axis, require, size, unknown_axes
from .sliding import correlate, scatter
from .weighted import absorber, is_plain, layer_type_of, sample, spread, unfit
from .window import SAME, Window, rank_of_space, reaches_out, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays
    from .sliding import Product


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
    sizes = map(resized, windows(settings, bottom[axis + 1 :]), bottom[axis + 1 :])
    return (*bottom[:axis], settings.num_output, *sizes)


def _deconvolution_shapes(parameter: Any, bottoms: Shapes, blob_shapes: BlobShapes) -> Shapes:
    if parameter.convolution_param.pad_type == SAME:  # Synopsys: deconv_layer.cpp does not read it, col2im_cpu does
        raise InputError(
            "the size and the values that Synopsys' Caffe computes with pad_type 1 do not fit each other",
            remedy="give the padding as pad_t, pad_b, pad_l and pad_r",
        )
    return _convolution_shapes(Window.deconvolved, parameter, bottoms, blob_shapes)


def _check_groups(settings: Any, inputs: Dim) -> None:
    """Caffe: base_conv_layer.cpp LayerSetUp."""
    group, outputs = settings.group, settings.num_output
    if outputs < 1:
        raise InputError("num_output is missing")
    if group < 1 or outputs % group or (inputs or 0) % group:
        shown = "?" if inputs is None else inputs
        raise InputError(f"group {group} does not divide {shown} input and {outputs} output channels")


def _convolution_blobs(
    weight_channels: Callable[[Any, Dim], Tuple[Dim, Dim]], parameter: Any, bottoms: Shapes
) -> Sequence[Dims]:
    """Two spatial axes are assumed if neither the bottom nor the kernel shows their number."""
    settings = parameter.convolution_param
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        space, inputs = rank_of_space(settings, ()) or 2, None
    else:
        axis = axis_of(settings.axis, len(bottom))
        space, inputs = len(bottom) - axis - 1, bottom[axis]
    _check_groups(settings, inputs)
    weights = (
        *weight_channels(settings, inputs),
        *(window.kernel for window in windows(settings, unknown_axes(space))),
    )
    return [weights, (settings.num_output,)][: 1 + settings.bias_term]


def _shared_out(channels: Dim, group: int) -> Dim:
    return None if channels is None else channels // group


def _filters_first(settings: Any, inputs: Dim) -> Tuple[Dim, Dim]:
    """Caffe: base_conv_layer.cpp:134."""
    return settings.num_output, _shared_out(inputs, settings.group)


def _inputs_first(settings: Any, inputs: Dim) -> Tuple[Dim, Dim]:
    """Caffe: base_conv_layer.cpp:124, inputs and outputs are exchanged in a deconvolution."""
    return inputs, _shared_out(settings.num_output, settings.group)


def _filter_per_channel(settings: Any, _inputs: Dim) -> Tuple[Dim, Dim]:
    """The depthwise types of forks have one filter for each channel, and often omit `group`."""
    return settings.num_output, 1


def _convolution_layout(parameter: Any, shape: Sequence[int]) -> Layout:
    outputs = parameter.convolution_param.num_output
    if not shape or shape[0] != outputs or 0 in shape:
        raise unfit(shape, outputs)
    return Layout(1, 1, outputs, prod(shape[1:]))


def _deconvolution_layout(parameter: Any, shape: Sequence[int]) -> Layout:
    group, outputs = parameter.convolution_param.group, parameter.convolution_param.num_output
    if len(shape) < 2 or group * shape[1] != outputs or shape[0] % group or 0 in shape:
        raise unfit(shape, outputs)
    return Layout(group, shape[0] // group, shape[1], prod(shape[2:]))


def _convolution_samples(_parameter: Any, shape: Sequence[int], count: int, rng: Random) -> NDArray[np.int64]:
    """Channel o owns w[o] (Caffe: base_conv_layer.cpp:267)."""
    owned = prod(shape[1:])
    return np.arange(shape[0])[:, None] * owned + sample(shape[0], owned, count, rng)


def _deconvolution_samples(parameter: Any, shape: Sequence[int], count: int, rng: Random) -> NDArray[np.int64]:
    """Channel o owns w[g*Ci/G : (g+1)*Ci/G, o % (Co/G)], g = o // (Co/G) (Caffe: base_conv_layer.cpp:284)."""
    outputs, inputs = parameter.convolution_param.num_output, shape[0] // parameter.convolution_param.group
    kernel = prod(shape[2:])
    channel = np.arange(outputs)[:, None]
    row, position = np.divmod(sample(outputs, inputs * kernel, count, rng), kernel)
    rows = channel // shape[1] * inputs + row
    filters = (shape[0], shape[1], kernel)
    return np.ravel_multi_index((rows, channel % shape[1], position), filters).astype(np.int64)


def _convolution_inputs(
    parameter: Any, shape: Sequence[int], places: NDArray[np.int64], depthwise: bool = False
) -> NDArray[np.int64]:
    """Caffe: base_conv_layer.cpp:267."""
    groups = shape[0] if depthwise else parameter.convolution_param.group
    first, second = _first_axes(shape, places)
    return np.asarray(first // (shape[0] // groups) * shape[1] + second)


def _deconvolution_inputs(_parameter: Any, shape: Sequence[int], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Caffe: base_conv_layer.cpp:284."""
    return _first_axes(shape, places)[0]


def _convolution_outputs(_parameter: Any, shape: Sequence[int], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Caffe: base_conv_layer.cpp:267."""
    return _first_axes(shape, places)[0]


def _deconvolution_outputs(parameter: Any, shape: Sequence[int], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Caffe: base_conv_layer.cpp:284."""
    first, second = _first_axes(shape, places)
    return np.asarray(first // (shape[0] // parameter.convolution_param.group) * shape[1] + second)


def _inflow(
    parameter: Any,
    shape: Sequence[int],
    affine: Affine,
    bottom: Shape,
    transposed: bool = False,
    depthwise: bool = False,
) -> Union[Inflow, Refusal]:
    """Padding stays 0, and at the edges of a deconvolution fewer products meet than inside."""
    settings, kernel = parameter.convolution_param, prod(shape[2:])
    if affine.shift.any():
        if reaches_out(settings, windows(settings, unknown_axes(len(shape) - 2))):
            return Refusal("it pads with zeros, which the shift would not reach")
        if transposed and kernel > 1:
            return Refusal("its sums take in different numbers of values")
    axis = known_axis(settings.axis, bottom)
    return spread(affine, _input_layout(settings, shape, transposed, depthwise), axis)


def _input_layout(settings: Any, shape: Sequence[int], transposed: bool, depthwise: bool) -> Layout:
    first, second, kernel = shape[0], shape[1], prod(shape[2:])
    if transposed:
        return Layout(1, 1, first, second * kernel)
    group = settings.num_output if depthwise else settings.group
    return Layout(group, first // group, second, kernel)


def _inputs_shape(
    parameter: Any, shape: Sequence[int], bottom: Shape, transposed: bool = False, depthwise: bool = False
) -> Tuple[int, ...]:
    settings, space = parameter.convolution_param, len(shape) - 2
    channels = _input_layout(settings, shape, transposed, depthwise).channels
    return (*(1,) * (known_axis(settings.axis, bottom) or 0), channels, *(1,) * (space - 1), prod(shape[2:]))


def _first_axes(shape: Sequence[int], places: NDArray[np.int64]) -> Tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, second, _ = np.unravel_index(places, (shape[0], shape[1], prod(shape[2:])))
    return np.asarray(first), np.asarray(second)


def _convolution_multiply_adds(
    parameter: Any, bottoms: Shapes, tops: Shapes, transposed: bool = False, depthwise: bool = False
) -> Optional[int]:
    """For each element of a top the weights of its sum; in a deconvolution for each element of a bottom."""
    settings, total = parameter.convolution_param, 0
    for bottom, top in zip(bottoms, tops):
        elements = bottom if transposed else top
        if bottom is None or top is None or elements is None:
            return None
        axis = axis_of(settings.axis, len(bottom))
        group = settings.num_output if depthwise else settings.group
        met = settings.num_output if transposed else bottom[axis]
        kernel = [window.kernel for window in windows(settings, bottom[axis + 1 :])]
        found = size([*elements, None if met is None else met // group, *kernel])
        if found is None:
            return None
        total += found
    return total


def _least_image(parameter: Any, shape: Dims) -> Optional[Dims]:
    """One image, no larger than needed for some window to lie completely inside it."""
    settings = parameter.convolution_param
    if axis_of(settings.axis, len(shape)) != 1:
        return None
    slid = windows(settings, shape[2:])
    needed = [window.extent + window.stride - 1 + window.before + max(window.after, 0) for window in slid]
    return (1, shape[1], *(need if dim is None else min(dim, need) for dim, need in zip(shape[2:], needed)))


def _convolution_homogeneous(setting: Setting, transposed: bool = False, depthwise: bool = False) -> Optional[Moved]:
    settings = setting.parameter.convolution_param
    if not is_plain(setting, settings) or settings.axis < 0:
        return None
    first, second, kernel = setting.blobs[0][0], setting.blobs[0][1], prod(setting.blobs[0][2:])
    group = settings.num_output if depthwise else settings.group
    columns = _input_layout(settings, setting.blobs[0], transposed, depthwise)
    rows = Layout(group, first // group, second, kernel) if transposed else Layout(1, 1, first, second * kernel)
    inputs = inputs_of(setting, setting.channels[0], settings.axis, columns.channels)
    return with_weights(setting, settings.axis, rows, columns, inputs)


def _convolve(
    each: Callable[..., NDArray[Any]],
    filters: Callable[[Any, int], int],
    groups: Callable[[Any, int], int],
    parameter: Any,
    blobs: Arrays,
    bottoms: Arrays,
    product: Product,
) -> List[NDArray[Any]]:
    """One top for each bottom; the axes before `axis` count images (Caffe: conv_layer.cpp Forward_cpu).

    filters, groups: their counts, from the settings and the number of channels.
    """
    settings = parameter.convolution_param
    tops = []
    for bottom in bottoms:
        axis = axis_of(settings.axis, bottom.ndim)
        channels, slid = bottom.shape[axis], windows(settings, bottom.shape[axis + 1 :])
        parts = groups(settings, channels)
        if filters(settings, channels) % parts:
            raise InputError(f"{parts} groups do not divide {filters(settings, channels)} filters")
        weights = blobs[0].reshape(parts, filters(settings, channels) // parts, -1)
        top = each(bottom.reshape(-1, *bottom.shape[axis:]), weights, slid, product)
        if settings.bias_term:
            top += blobs[1].reshape(-1, *(1,) * len(slid))
        tops.append(top.reshape(*bottom.shape[:axis], *top.shape[1:]))
    return tops


def _num_output(settings: Any, _channels: int) -> int:
    return int(settings.num_output)


def _all_channels(_settings: Any, channels: int) -> int:
    return channels


def _given_groups(settings: Any, _channels: int) -> int:
    return int(settings.group)


_absorber = partial(absorber, "convolution_param", least=_least_image, has_space=True)
_CONVOLUTION_SHAPES = partial(_convolution_shapes, Window.convolved)
_CORRELATED = partial(_convolve, correlate, _num_output, _given_groups)
_CORRELATED_BY_CHANNEL = partial(_convolve, correlate, _num_output, _all_channels)
_SCATTERED = partial(_convolve, scatter, _all_channels, _given_groups)

LAYER_TYPES = (
    layer_type_of(
        "Convolution",
        _CONVOLUTION_SHAPES,
        partial(_convolution_blobs, _filters_first),
        _absorber(
            _convolution_layout,
            _convolution_samples,
            _convolution_inputs,
            _convolution_outputs,
            _inflow,
            _inputs_shape,
        ),
        _CORRELATED,
        _convolution_homogeneous,
        multiply_adds=_convolution_multiply_adds,
    ),
    layer_type_of(
        "ConvolutionDepthwise",
        _CONVOLUTION_SHAPES,
        partial(_convolution_blobs, _filter_per_channel),
        _absorber(
            _convolution_layout,
            _convolution_samples,
            partial(_convolution_inputs, depthwise=True),
            _convolution_outputs,
            partial(_inflow, depthwise=True),
            partial(_inputs_shape, depthwise=True),
        ),
        _CORRELATED_BY_CHANNEL,
        partial(_convolution_homogeneous, depthwise=True),
        multiply_adds=partial(_convolution_multiply_adds, depthwise=True),
        foreign=True,
    ),
    layer_type_of(
        "Deconvolution",
        _deconvolution_shapes,
        partial(_convolution_blobs, _inputs_first),
        _absorber(
            _deconvolution_layout,
            _deconvolution_samples,
            _deconvolution_inputs,
            _deconvolution_outputs,
            partial(_inflow, transposed=True),
            partial(_inputs_shape, transposed=True),
        ),
        _SCATTERED,
        partial(_convolution_homogeneous, transposed=True),
        multiply_adds=partial(_convolution_multiply_adds, transposed=True),
    ),
)
