"""Layers that resize images, or extract regions of them: Upsample, Interp, ROIPooling, PSROIPooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Tuple

import numpy as np

from ..errors import InputError
from .homogeneous import Moved, Setting, unchanged
from .layer_type import BlobShapes, Dim, LayerType, Shapes
from .pooling import LOWEST, image
from .ranges import Passage, Range, same, with_zero
from .shapes import require, sizes, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays


def _upsample_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """SegNet's upsample_layer.cpp; the nearest-neighbour layers of other forks agree with it."""
    settings = parameter.upsample_param
    num, channels, height, width = image(bottoms)
    if _takes_size_of_second(settings, len(bottoms)):
        _, _, taller, wider = image(bottoms[1:])
        return [(num, channels, taller, wider)]
    factor_h = settings.scale_h if settings.HasField("scale_h") else settings.scale
    factor_w = settings.scale_w if settings.HasField("scale_w") else settings.scale
    taller = settings.upsample_h or _grown(height, factor_h, settings.pad_out_h)
    wider = settings.upsample_w or _grown(width, factor_w, settings.pad_out_w)
    return [(num, channels, taller, wider)]


def _takes_size_of_second(settings: Any, bottoms: int) -> bool:
    """SegNet's layer, whose second bottom is a mask, has no `mode`."""
    return bottoms > 1 and bool(settings.HasField("mode"))


def _grown(dim: Dim, factor: int, cut: bool) -> Dim:
    return None if dim is None else dim * factor - cut


def _upsample_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """With a mask, each element goes to the index that Pooling took it from; the others are 0 (SegNet)."""
    settings, x = parameter.upsample_param, bottoms[0]
    _, _, height, width = sizes(_upsample_shapes(parameter, [bottom.shape for bottom in bottoms], ())[0])
    if len(bottoms) == 1 or _takes_size_of_second(settings, len(bottoms)):
        if settings.mode != settings.NEAREST:
            raise InputError("bilinear Upsample is not supported")
        rows, columns = (np.arange(large) * small // large for large, small in zip((height, width), x.shape[2:]))
        return [x[:, :, rows[:, np.newaxis], columns]]
    return [_unpooled(x, bottoms[1], (height, width))]


def _unpooled(x: NDArray[Any], mask: NDArray[Any], top_sizes: Tuple[int, int]) -> NDArray[Any]:
    if mask.shape != x.shape:
        raise InputError(f"its mask {text(mask.shape)} has to have the shape of its bottom {text(x.shape)}")
    places = mask.reshape(*x.shape[:2], -1).astype(np.intp)
    area = top_sizes[0] * top_sizes[1]
    if places.size and not 0 <= places.min() <= places.max() < area:
        raise InputError(f"its mask has an index outside of its top of {text(top_sizes)}")
    top = np.zeros((*x.shape[:2], area), x.dtype)
    np.put_along_axis(top, places, x.reshape(places.shape), axis=2)
    return top.reshape(*x.shape[:2], *top_sizes)


def _zero_filled(passage: Passage) -> List[Range]:
    return [with_zero(passage.ranges[0])] * len(passage.tops)


def _interp_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """DeepLab's interp_layer.cpp LayerSetUp; without a size, other forks take that of a second bottom."""
    num, channels, height, width = image(bottoms)
    settings = parameter.interp_param
    if settings.HasField("height") and settings.HasField("width") and not _has_factor(settings):
        return [(num, channels, settings.height, settings.width)]
    if len(bottoms) > 1 and not _has_factor(settings):
        _, _, taller, wider = image(bottoms[1:])
        return [(num, channels, taller, wider)]
    return [(num, channels, _interpolated(settings, height), _interpolated(settings, width))]


def _has_factor(settings: Any) -> bool:
    return bool(settings.HasField("shrink_factor") or settings.HasField("zoom_factor"))


def _interpolated(settings: Any, dim: Dim) -> Dim:
    """First shrunk, then zoomed, if both are given; negative padding crops."""
    if not _has_factor(settings) or min(settings.shrink_factor, settings.zoom_factor) < 1:
        raise InputError("interp_param needs height and width, or a zoom_factor or shrink_factor from 1 on")
    if dim is None:
        return None
    shrunk: int = (dim + settings.pad_beg + settings.pad_end - 1) // settings.shrink_factor + 1
    if shrunk < 1:
        raise InputError(f"its padding leaves nothing of a bottom of size {dim}")
    return shrunk + (shrunk - 1) * int(settings.zoom_factor - 1)


def _interp_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Bilinear, with aligned corners (DeepLab: util/interp.cpp caffe_cpu_interp2)."""
    settings, top = parameter.interp_param, bottoms[0]
    if settings.pad_beg > 0 or settings.pad_end > 0:
        raise InputError("pad_beg and pad_end of an Interp can only crop: they have to be 0 or less")
    top_shape = sizes(_interp_shapes(parameter, [bottom.shape for bottom in bottoms], ())[0])
    for axis, size in zip((2, 3), top_shape[2:]):
        top = top.take(range(-settings.pad_beg, top.shape[axis] + settings.pad_end), axis)
        top = _stretched(top, axis, size)
    return [top]


def _stretched(x: NDArray[Any], axis: int, size: int) -> NDArray[Any]:
    """Linear interpolation along an axis, to this size."""
    last = x.shape[axis] - 1
    places = np.arange(size) * (last / (size - 1) if size > 1 else 0.0)
    lower = np.minimum(places.astype(np.intp), last)
    share = (places - lower).astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1 - axis))
    top: NDArray[Any] = (1 - share) * x.take(lower, axis) + share * x.take(np.minimum(lower + 1, last), axis)
    return top


def _interp_homogeneous(setting: Setting) -> Optional[Moved]:
    channels = setting.channels[0]
    return unchanged(setting) if channels is None or channels.axis == 1 else None


def _roi_pooling_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    settings = parameter.roi_pooling_param
    regions = require(bottoms, 2)[1]
    _, channels, _, _ = image(bottoms)
    return [(regions[0] if regions else None, channels, settings.pooled_h, settings.pooled_w)]


def _psroi_pooling_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    settings = parameter.psroi_pooling_param
    regions = require(bottoms, 2)[1]
    return [(regions[0] if regions else None, settings.output_dim, settings.group_size, settings.group_size)]


def _roi_pooling_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """The maximum of each bin of each region: image, left, top, right, bottom (Fast R-CNN: roi_pooling_layer.cpp)."""
    settings, (x, regions) = parameter.roi_pooling_param, bottoms
    top = np.zeros((len(regions), x.shape[1], settings.pooled_h, settings.pooled_w), x.dtype)
    if regions.size != 5 * len(regions):
        raise InputError(f"its second bottom is {text(regions.shape)}, expected 5 values for each region")
    for region, bins in zip(regions.reshape(len(regions), -1), top):
        if not 0 <= region[0] < len(x):
            raise InputError(f"a region is in image {region[0]:g}, but there are {len(x)}")
        # C's round: ties go away from 0.
        left, upper, right, lower = np.floor(np.abs(region[1:5]) * settings.spatial_scale + 0.5) * np.sign(region[1:5])
        rows = _bins(upper, lower, settings.pooled_h, x.shape[2])
        columns = _bins(left, right, settings.pooled_w, x.shape[3])
        for row, column in np.ndindex(settings.pooled_h, settings.pooled_w):
            inside = x[int(region[0])][:, rows[row], columns[column]]
            if inside.size:
                bins[:, row, column] = np.fmax.reduce(inside.reshape(len(inside), -1), axis=1, initial=LOWEST)
    return [top]


def _bins(first: float, last: float, count: int, size: int) -> List[slice]:
    length = max(last - first + 1, 1) / count
    starts = np.floor(np.arange(count) * length) + first
    ends = np.ceil(np.arange(1, count + 1) * length) + first
    return [slice(*sorted(np.clip([start, end], 0, size).astype(int))) for start, end in zip(starts, ends)]


LAYER_TYPES = (
    LayerType("Upsample", _upsample_shapes, forward=_upsample_forward, ranges=_zero_filled, most=2, foreign=True),
    LayerType(
        "Interp",
        _interp_shapes,
        forward=_interp_forward,
        most=2,
        homogeneous=_interp_homogeneous,
        ranges=same,
        foreign=True,
    ),
    LayerType(
        "ROIPooling", _roi_pooling_shapes, forward=_roi_pooling_forward, ranges=_zero_filled, most=2, foreign=True
    ),
    LayerType("PSROIPooling", _psroi_pooling_shapes, foreign=True),
)
