"""Layers that slide a window without weights: Pooling, SPP, Im2col."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import InputError
from .carried import Carried, same
from .homogeneous import Moved, Setting
from .layer_type import Affine, BlobShapes, Dim, Dims, LayerType, Refusal, Shapes
from .ranges import UNKNOWN, Passage, Range, unknown, with_zero
from .shapes import axis_of, require, size, sizes, text, unknown_axes
from .sliding import convolved_sizes, padded, patches
from .window import Window, along_each, placed, rank_of_space, windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays

    Array = NDArray[Any]

# The initial value of Caffe's maximum (pooling_layer.cpp), which an empty window keeps.
LOWEST = -float(np.finfo(np.float32).max)


def image(bottoms: Shapes) -> Tuple[Dim, Dim, Dim, Dim]:
    """The first bottom as (num, channels, height, width). InputError if it does not have these four axes."""
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        return (None, None, None, None)
    if len(bottom) != 4:
        raise InputError(f"its bottom has to have 4 axes: num, channels, height, width; found {text(bottom)}")
    num, channels, height, width = bottom
    return num, channels, height, width


def _pooling_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """A second top, the indices of the maxima, has the same shape (Caffe: pooling_layer.cpp)."""
    settings = parameter.pooling_param
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        bottom = unknown_axes(2 + (rank_of_space(settings, ()) or 2))
    if len(bottom) < 3:
        raise InputError(f"its bottom has to have spatial axes after num and channels; found {text(bottom)}")
    space = bottom[2:]
    if settings.global_pooling:
        pooled: Dims = (1,) * len(space)
    else:
        pooled = _pooled_sizes(pooling_windows(parameter, space), space, _rounds_up(settings))
    return [(*bottom[:2], *pooled)] * len(parameter.top)


def _rounds_up(settings: Any) -> bool:
    return bool(settings.ceil_mode if settings.HasField("ceil_mode") else settings.round_mode == 0)


def _pooled_sizes(slid: Sequence[Window], image_sizes: Dims, round_up: bool) -> Dims:
    """What clips one axis clips all (Caffe: pooling_layer.cpp Reshape)."""
    clipped = any(window.before or window.after or window.clips for window in slid)
    return tuple(window.pooled(dim, round_up, clipped) for window, dim in zip(slid, image_sizes))


def _steps(x: Array, slid: Sequence[Window], round_up: bool) -> Tuple[int, ...]:
    return sizes(_pooled_sizes(slid, x.shape[2:], round_up))


def pooling_windows(parameter: Any, space: Dims) -> Tuple[Window, ...]:
    """kernel_size takes precedence over kernel_h and kernel_w, pad_h over pad (Caffe: pooling_layer.cpp)."""
    settings, rank = parameter.pooling_param, len(space)
    kernel = along_each("kernel_size", settings.kernel_size or (settings.kernel_h, settings.kernel_w), rank)
    paired = settings.HasField("pad_h")
    pad = along_each("pad", (settings.pad_h, settings.pad_w) if paired else settings.pad or (0,), rank)
    paired = settings.HasField("stride_h")
    stride = along_each("stride", (settings.stride_h, settings.stride_w) if paired else settings.stride or (1,), rank)
    if min(*kernel, *stride) < 1:
        raise InputError(f"kernel {text(kernel)} and stride {text(stride)} have to be at least 1")
    clips = 1 in kernel and rank == 2 and _is_intels(parameter)
    even = tuple(Window(*each, clips=clips) for each in zip(kernel, pad, pad, stride))
    slid = placed(settings, even, space)
    if any(window.before >= window.kernel for window in slid):
        before = text(tuple(window.before for window in slid))
        raise InputError(f"its padding {before} has to be smaller than its kernel {text(kernel)}")
    return slid


def _is_intels(parameter: Any) -> bool:
    """Whether the layer names Intel's engines; all of theirs clip with a kernel of 1 (mkldnn_pooling_layer.cpp)."""
    settings = parameter.pooling_param
    return parameter.type == "MKLPooling" or settings.engine in (settings.MKL2017, settings.MKLDNN)


def _spp_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Level i yields 2^i x 2^i bins; a single level is a plain pooling (Caffe: spp_layer.cpp LayerSetUp)."""
    num, channels, _, _ = image(bottoms)
    levels = parameter.spp_param.pyramid_height
    if not 1 <= levels <= 16:
        raise InputError(f"pyramid_height {levels} has to be between 1 and 16")
    return [(num, channels, 1, 1) if levels == 1 else (num, size((channels, (4**levels - 1) // 3)))]


def _im2col_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """The kernel's elements become channels (Caffe: im2col_layer.cpp Reshape)."""
    settings = parameter.convolution_param
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        return [None]
    axis = axis_of(settings.axis, len(bottom))
    slid = windows(settings, bottom[axis + 1 :])
    channels = size((bottom[axis], *(window.kernel for window in slid)))
    return [(*bottom[:axis], channels, *map(Window.convolved, slid, bottom[axis + 1 :]))]


def _pooling_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """Caffe: pooling_layer.cpp Forward_cpu."""
    settings, (x,) = parameter.pooling_param, bottoms
    if settings.pool == settings.STOCHASTIC:
        raise InputError("STOCHASTIC pooling is not supported")
    if settings.global_pooling:
        slid: Tuple[Window, ...] = tuple(Window(length, 0, 0, 1) for length in x.shape[2:])
    else:
        slid = pooling_windows(parameter, x.shape[2:])
    round_up = _rounds_up(settings)
    if settings.pool == settings.AVE:
        return [average(x, slid, round_up)] * len(parameter.top)
    top = _maximum(x, slid, round_up)
    return [top] if len(parameter.top) == 1 else [top, _places(x, top, slid)]


def _maximum(x: Array, slid: Sequence[Window], round_up: bool) -> Array:
    steps = _steps(x, slid, round_up)
    if _is_global(slid, x.shape[2:], steps):
        best: Array = np.fmax.reduce(x.reshape(*x.shape[:2], -1), axis=2, initial=LOWEST)
        return best.reshape(*x.shape[:2], *steps)
    wide = padded(x, slid, steps, LOWEST)
    top = np.full((*x.shape[:2], *steps), LOWEST, x.dtype)
    # In Caffe, NaN never counts as larger.
    for place in _each_place(wide, slid, steps):
        np.fmax(top, place, out=top)
    return top


def _is_global(slid: Sequence[Window], image_sizes: Sequence[int], steps: Sequence[int]) -> bool:
    """Whether the one window is the whole image."""
    return prod(steps) == 1 and all(
        (window.kernel, window.before) == (dim, 0) for window, dim in zip(slid, image_sizes)
    )


def _each_place(wide: Array, slid: Sequence[Window], steps: Tuple[int, ...]) -> List[Array]:
    """For each position in the kernel, row by row, the elements of the bottom under it."""
    seen = patches(wide, slid, steps)
    return [seen[(slice(None), slice(None), *place)] for place in np.ndindex(*(window.kernel for window in slid))]


def _places(x: Array, top: Array, slid: Sequence[Window]) -> Array:
    """The index of each maximum in the image, the first of equal ones; -1 for none."""
    steps = top.shape[2:]
    wide = padded(x, slid, steps, LOWEST)
    image = np.arange(prod(x.shape[2:]), dtype=x.dtype).reshape(1, 1, *x.shape[2:])
    indices = padded(image, slid, steps, -1)
    result = np.full_like(top, -1)
    for value, index in reversed(list(zip(_each_place(wide, slid, steps), _each_place(indices, slid, steps)))):
        np.copyto(result, index, where=(value == top) & (index >= 0) & (value > LOWEST))
    return result


def average(x: Array, slid: Sequence[Window], round_up: bool) -> Array:
    """The average of each window; the divisor counts the padding, but nothing after it (Caffe: pooling_layer.cpp)."""
    steps = _steps(x, slid, round_up)
    if _is_global(slid, x.shape[2:], steps):
        total: Array = x.reshape(*x.shape[:2], -1).sum(2) / x.dtype.type(prod(x.shape[2:]))
        return total.reshape(*x.shape[:2], *steps)
    wide = padded(x, slid, steps)
    total = np.zeros((*x.shape[:2], *steps), x.dtype)
    for place in _each_place(wide, slid, steps):
        total += place
    divisor = np.ones(steps, x.dtype)
    for axis, (window, length, count) in enumerate(zip(slid, x.shape[2:], steps)):
        starts = np.arange(count) * window.stride
        lengths = np.minimum(window.kernel, window.before + length + window.after - starts)
        divisor *= lengths.reshape(-1, *(1,) * (len(steps) - 1 - axis))
    total /= divisor
    return total


def _pooling_carries(carried: Carried) -> Union[List[Affine], Refusal]:
    """A maximum of scale * x + shift is that of x, scaled, where no scale turns it; an average, where no 0 counts."""
    (affine, *places), settings = carried.affines, carried.parameter.pooling_param
    if places:
        return Refusal("its second top holds places")
    if affine.channels > 1 and affine.axis != 1:
        return Refusal(f"it pools axis {affine.axis}")
    if settings.pool == settings.MAX:
        return same(carried) if np.all(affine.scale > 0) else Refusal("a scale is not above 0, and turns its maximum")
    if settings.pool != settings.AVE:
        return Refusal("it draws its values at random")
    if _pads(settings) and affine.shift.any():
        return Refusal("its padding counts as zeros, which the shift would not reach")
    return same(carried)


def _pads(settings: Any) -> bool:
    sides = ("pad", "pad_h", "pad_w", "pad_t", "pad_l", "pad_b", "pad_r", "pad_type")
    return any(np.any(getattr(settings, side)) for side in sides)


def _pooling_homogeneous(setting: Setting) -> Optional[Moved]:
    """MAX or AVE over the axes after the channels; a second top holds indices."""
    channels = setting.channels[0]
    if setting.parameter.pooling_param.pool > 1 or (channels is not None and channels.axis != 1):
        return None
    return Moved([channels, None][: len(setting.parameter.top)])


def _pooling_ranges(passage: Passage) -> List[Range]:
    """An average counts the padding as zeros. A second top holds indices."""
    settings, (x,) = passage.parameter.pooling_param, passage.ranges
    if settings.pool == settings.STOCHASTIC:
        return unknown(passage)
    padded = settings.pool == settings.AVE and _pads(settings)
    return [with_zero(x) if padded else x, UNKNOWN][: len(passage.tops)]


def _spp_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """Caffe: spp_layer.cpp GetPoolingParam, the padding makes each level's windows fit."""
    settings, (x,) = parameter.spp_param, bottoms
    if settings.pool == settings.STOCHASTIC:
        raise InputError("STOCHASTIC pooling is not supported")
    levels = []
    for level in range(settings.pyramid_height):
        slid = tuple(_bins(length, 2**level) for length in x.shape[2:])
        levels.append(_maximum(x, slid, True) if settings.pool == settings.MAX else average(x, slid, True))
    if len(levels) == 1:
        return levels
    return [np.concatenate([level.reshape(len(x), -1) for level in levels], axis=1)]


def _bins(length: int, bins: int) -> Window:
    kernel = -(-length // bins)
    pad = (kernel * bins - length + 1) // 2
    return Window(kernel, pad, pad, kernel)


def _im2col_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[Array]:
    settings, (x,) = parameter.convolution_param, bottoms
    axis = axis_of(settings.axis, x.ndim)
    slid = windows(settings, x.shape[axis + 1 :])
    images = x.reshape(-1, *x.shape[axis:])
    steps = convolved_sizes(images, slid)
    columns = patches(padded(images, slid, steps), slid, steps)
    return [columns.reshape(*x.shape[:axis], -1, *steps)]


LAYER_TYPES = (
    LayerType(
        "Pooling",
        _pooling_shapes,
        forward=_pooling_forward,
        most=1,
        carries=_pooling_carries,
        homogeneous=_pooling_homogeneous,
        ranges=_pooling_ranges,
    ),
    LayerType("SPP", _spp_shapes, forward=_spp_forward, most=1),
    LayerType("Im2col", _im2col_shapes, forward=_im2col_forward, most=1),
)
