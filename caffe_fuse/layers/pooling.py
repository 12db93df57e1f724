"""Layers that slide a window without weights, or resize: Pooling, SPP, Im2col, Upsample, Interp ..."""

from __future__ import annotations

from typing import Any, Tuple

from ..errors import InputError
from .row import BlobShapes, Dim, LayerType, Shape, Shapes
from .shapes import axis_of, require, size, text
from .window import Window, sided_padding, windows


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
    """A second top, the places of the maxima, has the same shape (Caffe: pooling_layer.cpp)."""
    settings = parameter.pooling_param
    num, channels, height, width = image(bottoms)
    if settings.global_pooling:
        top: Shape = (num, channels, 1, 1)
    else:
        vertical, horizontal = _pooling_windows(settings)
        round_up = settings.ceil_mode if settings.HasField("ceil_mode") else settings.round_mode == 0
        # Padding of one axis clips both (Caffe: pooling_layer.cpp Reshape).
        clipped = any((*vertical[1:3], *horizontal[1:3]))
        sizes = (vertical.pooled(height, round_up, clipped), horizontal.pooled(width, round_up, clipped))
        top = (num, channels, *sizes)
    return [top] * len(parameter.top)


def _pooling_windows(settings: Any) -> Tuple[Window, Window]:
    """kernel_size goes before kernel_h and kernel_w, pad_h before pad (Caffe: pooling_layer.cpp)."""
    kernel = (settings.kernel_h, settings.kernel_w)
    if settings.HasField("kernel_size"):
        kernel = (settings.kernel_size, settings.kernel_size)
    paired = settings.HasField("pad_h")
    pad = (settings.pad_h, settings.pad_w) if paired else (settings.pad, settings.pad)
    before, behind = sided_padding(settings) or (pad, pad)
    paired = settings.HasField("stride_h")
    stride = (settings.stride_h, settings.stride_w) if paired else (settings.stride, settings.stride)
    if min(*kernel, *stride) < 1:
        raise InputError(f"kernel {text(kernel)} and stride {text(stride)} have to be at least 1")
    if any(p >= k for p, k in zip(before, kernel)):
        raise InputError(f"its padding {text(before)} has to be smaller than its kernel {text(kernel)}")
    vertical, horizontal = map(Window, kernel, before, behind, stride)
    return vertical, horizontal


def _spp_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Level i gives 2^i x 2^i bins; a single level is a plain pooling (Caffe: spp_layer.cpp LayerSetUp)."""
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
    slid = windows(settings, len(bottom) - axis - 1)
    channels = size((bottom[axis], *(window.kernel for window in slid)))
    return [(*bottom[:axis], channels, *map(Window.convolved, slid, bottom[axis + 1 :]))]


def _roi_pooling_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    settings = parameter.roi_pooling_param
    regions = require(bottoms, 2)[1]
    _, channels, _, _ = image(bottoms)
    return [(regions[0] if regions else None, channels, settings.pooled_h, settings.pooled_w)]


def _psroi_pooling_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    settings = parameter.psroi_pooling_param
    regions = require(bottoms, 2)[1]
    return [(regions[0] if regions else None, settings.output_dim, settings.group_size, settings.group_size)]


def _upsample_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """SegNet's upsample_layer.cpp, which the forks' nearest-neighbour layers agree with."""
    settings = parameter.upsample_param
    num, channels, height, width = image(bottoms)
    factor_h = settings.scale_h if settings.HasField("scale_h") else settings.scale
    factor_w = settings.scale_w if settings.HasField("scale_w") else settings.scale
    taller = settings.upsample_h or _grown(height, factor_h, settings.pad_out_h)
    wider = settings.upsample_w or _grown(width, factor_w, settings.pad_out_w)
    return [(num, channels, taller, wider)]


def _grown(dim: Dim, factor: int, cut: bool) -> Dim:
    return None if dim is None else dim * factor - cut


def _interp_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """DeepLab's interp_layer.cpp LayerSetUp."""
    num, channels, height, width = image(bottoms)
    settings = parameter.interp_param
    if settings.HasField("height") and settings.HasField("width") and not _has_factor(settings):
        return [(num, channels, settings.height, settings.width)]
    return [(num, channels, _interpolated(settings, height), _interpolated(settings, width))]


def _has_factor(settings: Any) -> bool:
    return bool(settings.HasField("shrink_factor") or settings.HasField("zoom_factor"))


def _interpolated(settings: Any, dim: Dim) -> Dim:
    """First shrunk, then zoomed, where both are given; negative padding cuts."""
    if not _has_factor(settings) or min(settings.shrink_factor, settings.zoom_factor) < 1:
        raise InputError("interp_param needs height and width, or a zoom_factor or shrink_factor from 1 on")
    if dim is None:
        return None
    shrunk: int = (dim + settings.pad_beg + settings.pad_end - 1) // settings.shrink_factor + 1
    if shrunk < 1:
        raise InputError(f"its padding leaves nothing of a bottom of size {dim}")
    return shrunk + (shrunk - 1) * int(settings.zoom_factor - 1)


ROWS = (
    LayerType("Pooling", _pooling_shapes),
    LayerType("SPP", _spp_shapes),
    LayerType("Im2col", _im2col_shapes),
    LayerType("ROIPooling", _roi_pooling_shapes),
    LayerType("PSROIPooling", _psroi_pooling_shapes),
    LayerType("Upsample", _upsample_shapes),
    LayerType("Interp", _interp_shapes),
)
