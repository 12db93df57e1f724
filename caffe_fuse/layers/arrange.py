"""Layers that move numbers of one bottom without changing them: Slice, Reshape, Permute, Crop, Tile ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError
from .homogeneous import Channels, Moved, Setting, flattened, unchanged
from .layer_type import IDENTITY, Affine, BlobShapes, Dim, Dims, LayerType, Shapes
from .pooling import image
from .shapes import MOST_CHANNELS, axis_of, like_bottom, replaced, require, size, sizes, text, unknown_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays


def _slice_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: slice_layer.cpp Reshape; slice_dim is the old name of axis."""
    settings, tops = parameter.slice_param, len(parameter.top)
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        return [None] * tops
    axis = _slice_axis(settings, len(bottom))
    points = list(settings.slice_point)
    if points:
        dims = _between(points, bottom[axis], tops)
    else:
        dims = _evenly(bottom[axis], tops)
    return [replaced(bottom, axis, dim) for dim in dims]


def _slice_axis(settings: Any, rank: int) -> int:
    return axis_of(settings.slice_dim if settings.HasField("slice_dim") else settings.axis, rank)


def _slice_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    settings, (x,) = parameter.slice_param, bottoms
    points = list(settings.slice_point) or len(parameter.top)
    return [np.ascontiguousarray(part) for part in np.split(x, points, _slice_axis(settings, x.ndim))]


def _between(points: Sequence[int], total: Dim, tops: int) -> List[Dim]:
    if len(points) != tops - 1:
        raise InputError(f"{tops} tops need {tops - 1} values of slice_point, found {len(points)}")
    borders = [0, *points]
    ascending = all(low < high for low, high in zip(borders, borders[1:]))
    if not ascending or (total is not None and borders[-1] >= total):
        raise InputError(f"slice_point {points} has to ascend from 1, below the {total} of its bottom")
    last = None if total is None else total - borders[-1]
    return [*(high - low for low, high in zip(borders, borders[1:])), last]


def _evenly(total: Dim, tops: int) -> List[Dim]:
    if total is None or tops == 0:
        return [None] * tops
    if total % tops:
        raise InputError(f"an axis of {total} cannot be sliced into {tops} equal tops")
    return [total // tops] * tops


def _slice_homogeneous(setting: Setting) -> Optional[Moved]:
    settings, channels, shape = setting.parameter.slice_param, setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    axis = axis_of(settings.slice_dim if settings.HasField("slice_dim") else settings.axis, len(shape))
    if axis != channels.axis:
        return unchanged(setting)
    sizes = [None if top is None else top[axis] for top in setting.tops]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    return Moved([Channels(axis, part) for part in np.split(channels.labels, np.cumsum(known)[:-1])])


def _reshaping(shapes: Callable[[Any, Shapes, BlobShapes], Shapes]) -> Callable[..., List[NDArray[Any]]]:
    """The forward function of a layer that only gives its bottom another shape."""

    def forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
        (top,) = shapes(parameter, [bottoms[0].shape], ())
        return [bottoms[0].reshape(sizes(top))]

    return forward


def _flatten_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: flatten_layer.cpp Reshape."""
    settings = parameter.flatten_param
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        to_the_end = settings.axis >= 0 and settings.end_axis == -1
        return [unknown_axes(settings.axis + 1) if to_the_end else None]
    first, last = axis_of(settings.axis, len(bottom)), axis_of(settings.end_axis, len(bottom))
    if last < first:
        raise InputError(f"end_axis {last} lies before axis {first}")
    return [(*bottom[:first], size(bottom[first : last + 1]), *bottom[last + 1 :])]


def _flatten_homogeneous(setting: Setting) -> Optional[Moved]:
    settings, shape = setting.parameter.flatten_param, setting.bottoms[0]
    if shape is None:
        return None
    first, last = axis_of(settings.axis, len(shape)), axis_of(settings.end_axis, len(shape))
    if (size(shape[first : last + 1]) or 0) > MOST_CHANNELS:
        return None
    top = flattened(setting, first, last)
    return None if top is None else Moved([top])


def _reshape_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """0 keeps the bottom's size, -1 is what remains (Caffe: reshape_layer.cpp)."""
    settings = parameter.reshape_param
    (bottom,) = require(bottoms, 1)
    dims = list(settings.shape.dim)
    if any(dim < -1 for dim in dims) or dims.count(-1) > 1:
        raise InputError(f"shape {dims} has to hold sizes, 0, and at most one -1")
    if bottom is None:
        whole = settings.axis == 0 and settings.num_axes == -1
        return [tuple(dim if dim > 0 else None for dim in dims) if whole else None]
    first, end = _replaced_axes(settings, len(bottom))
    if any(dim == 0 and first + place >= len(bottom) for place, dim in enumerate(dims)):
        raise InputError(f"shape {dims} keeps an axis that its bottom {text(bottom)} does not have")
    chosen: List[Dim] = [bottom[first + place] if dim == 0 else dim for place, dim in enumerate(dims)]
    top = [*bottom[:first], *chosen, *bottom[end:]]
    if -1 in top:
        top[top.index(-1)] = _remaining(bottom, size(dim for dim in top if dim != -1))
    before, after = size(bottom), size(top)
    if None not in (before, after) and before != after:
        raise InputError(f"its bottom {text(bottom)} has {before} elements, {text(tuple(top))} has {after}")
    return [tuple(top)]


def _replaced_axes(settings: Any, rank: int) -> Tuple[int, int]:
    """The axes first .. end-1 that `shape` replaces; axis -1 stands behind the last one."""
    first = settings.axis if settings.axis >= 0 else rank + settings.axis + 1
    end = rank if settings.num_axes == -1 else first + settings.num_axes
    if not 0 <= first <= end <= rank:
        given = f"axis {settings.axis} with num_axes {settings.num_axes}"
        raise InputError(f"{given} is outside its bottom of {rank} axes")
    return first, end


def _remaining(bottom: Dims, others: Dim) -> Dim:
    total = size(bottom)
    if total is None or others is None:
        return None
    if others == 0 or total % others:
        raise InputError(f"its bottom {text(bottom)} has {total} elements, which {others} does not divide")
    return total // others


def _permute_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """The axes that `order` does not name follow in their order (SSD: permute_layer.cpp LayerSetUp)."""
    order = list(parameter.permute_param.order)
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        return [None]
    if len(set(order)) != len(order) or any(axis >= len(bottom) for axis in order):
        raise InputError(f"order {order} has to name different axes of its bottom {text(bottom)}")
    return [tuple(bottom[axis] for axis in _whole_order(order, len(bottom)))]


def _whole_order(order: Sequence[int], rank: int) -> List[int]:
    return [*order, *(axis for axis in range(rank) if axis not in order)]


def _permute_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    (x,) = bottoms
    return [np.ascontiguousarray(x.transpose(_whole_order(parameter.permute_param.order, x.ndim)))]


def _permute_homogeneous(setting: Setting) -> Optional[Moved]:
    channels, shape = setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    order = list(setting.parameter.permute_param.order)
    order += [axis for axis in range(len(shape)) if axis not in order]
    return Moved([Channels(order.index(channels.axis), channels.labels)])


def _crop_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: crop_layer.cpp Reshape."""
    settings = parameter.crop_param
    bottom, model = require(bottoms, 2)
    if bottom is None:
        return [None]
    first = axis_of(settings.axis, len(bottom))
    offsets = list(settings.offset) or [0]
    cropped = len(bottom) - first
    if len(offsets) not in (1, cropped):
        raise InputError(f"offset has {len(offsets)} values for {cropped} axes")
    offsets = offsets * cropped if len(offsets) == 1 else offsets
    sizes = unknown_axes(len(bottom)) if model is None else model
    if len(sizes) != len(bottom):
        raise InputError(f"its bottoms {text(bottom)} and {text(sizes)} have different numbers of axes")
    for offset, dim, wanted in zip(offsets, bottom[first:], sizes[first:]):
        if dim is not None and wanted is not None and offset + wanted > dim:
            raise InputError(f"{wanted} from offset {offset} on is more than the {dim} that its bottom has")
    return [(*bottom[:first], *sizes[first:])]


def _crop_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    settings, (x, model) = parameter.crop_param, bottoms
    first = axis_of(settings.axis, x.ndim)
    offsets = list(settings.offset) or [0]
    offsets = offsets * (x.ndim - first) if len(offsets) == 1 else offsets
    kept = tuple(slice(offset, offset + length) for offset, length in zip(offsets, model.shape[first:]))
    return [np.ascontiguousarray(x[(*(slice(None),) * first, *kept)])]


def _crop_homogeneous(setting: Setting) -> Optional[Moved]:
    """Of the second bottom only the shape matters."""
    channels, shape = setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    return Moved([channels]) if channels.axis < axis_of(setting.parameter.crop_param.axis, len(shape)) else None


def _tile_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: tile_layer.cpp Reshape."""
    settings = parameter.tile_param
    (bottom,) = require(bottoms, 1)
    if settings.tiles < 1:
        raise InputError(f"tiles {settings.tiles} has to be at least 1")
    if bottom is None:
        return [None]
    axis = axis_of(settings.axis, len(bottom))
    return [replaced(bottom, axis, size((bottom[axis], settings.tiles)))]


def _tile_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    settings, (x,) = parameter.tile_param, bottoms
    return [np.concatenate([x] * settings.tiles, axis_of(settings.axis, x.ndim))]


def _split_affine(_parameter: Any, _blobs: Arrays, _bottoms: Shapes) -> Affine:
    return IDENTITY


def _split_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    return [bottoms[0]] * len(parameter.top)


def _batch_reindex_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: batch_reindex_layer.cpp Reshape."""
    bottom, chosen = require(bottoms, 2)
    return [(chosen[0] if chosen else None, *bottom[1:]) if bottom else None]


def _batch_reindex_forward(_parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: batch_reindex_layer.cpp check_batch_reindex."""
    x, chosen = bottoms[0], bottoms[1].reshape(-1)
    wrong = chosen[~((chosen >= 0) & (chosen < len(x)))]
    if wrong.size:
        raise InputError(f"its second bottom chooses image {wrong[0]:g}, there are {len(x)}")
    return [x[chosen.astype(np.intp)]]


def _filter_forward(_parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    if any(len(bottom) != bottoms[-1].size for bottom in bottoms):
        raise InputError(f"its last bottom has {bottoms[-1].size} numbers for {len(bottoms[0])} images")
    chosen = np.flatnonzero(bottoms[-1])
    return [bottom[chosen] for bottom in bottoms[:-1]]


def _filter_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """The last bottom says which images pass: how many, only a run tells (Caffe: filter_layer.cpp)."""
    require(bottoms, 2)
    return [(None, *bottom[1:]) if bottom else None for bottom in bottoms[:-1]]


def _shuffle_channel_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    group = parameter.shuffle_channel_param.group
    (bottom,) = require(bottoms, 1)
    channels: Optional[int] = None if bottom is None else bottom[axis_of(1, len(bottom))]
    if group < 1 or (channels or 0) % group:
        raise InputError(f"group {group} does not divide {channels} channels")
    return [bottom]


def _shuffle_channel_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """The channels as a table of `group` rows, read column by column."""
    (x,) = bottoms
    table = x.reshape(len(x), parameter.shuffle_channel_param.group, -1, *x.shape[2:])
    return [table.swapaxes(1, 2).reshape(x.shape)]


def _shuffle_channel_homogeneous(setting: Setting) -> Optional[Moved]:
    channels = setting.channels[0]
    if channels is None or channels.axis != 1:
        return None
    rows = channels.labels.reshape(setting.parameter.shuffle_channel_param.group, -1)
    return Moved([Channels(1, rows.T.reshape(-1))])


def _reorg_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    settings = parameter.reorg_param
    num, channels, height, width = image(bottoms)
    stride = settings.stride
    if stride < 1:
        raise InputError("reorg_param.stride is missing")
    area = stride * stride
    if settings.reverse:
        return [(num, _divided(channels, area), size((height, stride)), size((width, stride)))]
    return [(num, size((channels, area)), _divided(height, stride), _divided(width, stride))]


def _reorg_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Darknet's reorg_cpu, which reads its bottom as one of fewer channels and a larger image."""
    stride, (x,) = parameter.reorg_param.stride, bottoms
    num, channels, height, width = x.shape
    few = channels // stride**2
    if few * stride**2 != channels:
        raise InputError(f"stride {stride} squared does not divide {channels} channels")
    if parameter.reorg_param.reverse:
        split = x.reshape(num, stride, stride, few, height, width).transpose(0, 3, 4, 1, 5, 2)
        return [split.reshape(num, few, height * stride, width * stride)]
    split = x.reshape(num, few, height, stride, width, stride).transpose(0, 3, 5, 1, 2, 4)
    return [split.reshape(num, channels * stride**2, height // stride, width // stride)]


def _always(_parameter: Any) -> bool:
    return True


def _divided(dim: Dim, divisor: int) -> Dim:
    return None if dim is None else dim // divisor


ROWS = (
    LayerType(
        "Slice",
        _slice_shapes,
        forward=_slice_forward,
        homogeneous=_slice_homogeneous,
        most=1,
        shares=lambda parameter: len(parameter.top) == 1,
    ),
    LayerType(
        "Split",
        like_bottom,
        affine=_split_affine,
        forward=_split_forward,
        homogeneous=unchanged,
        most=1,
        shares=_always,
    ),
    LayerType(
        "Flatten",
        _flatten_shapes,
        forward=_reshaping(_flatten_shapes),
        homogeneous=_flatten_homogeneous,
        most=1,
        shares=_always,
    ),
    LayerType("Reshape", _reshape_shapes, forward=_reshaping(_reshape_shapes), most=1, shares=_always),
    LayerType("Permute", _permute_shapes, forward=_permute_forward, homogeneous=_permute_homogeneous, most=1),
    LayerType("Crop", _crop_shapes, forward=_crop_forward, homogeneous=_crop_homogeneous, most=2),
    LayerType("Tile", _tile_shapes, forward=_tile_forward, most=1),
    LayerType("BatchReindex", _batch_reindex_shapes, forward=_batch_reindex_forward, most=2),
    LayerType("Filter", _filter_shapes, forward=_filter_forward),
    LayerType(
        "ShuffleChannel",
        _shuffle_channel_shapes,
        forward=_shuffle_channel_forward,
        homogeneous=_shuffle_channel_homogeneous,
        most=1,
    ),
    LayerType("Reorg", _reorg_shapes, forward=_reorg_forward, most=1),
)
