"""Layers that move numbers without changing them, or join bottoms: Concat, Reshape, Crop, Eltwise ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple, Union

from ..errors import InputError
from .pooling import image
from .row import IDENTITY, Affine, BlobShapes, Dim, Dims, LayerType, Refusal, Shapes
from .shapes import agreed, axis_of, like_bottom, replaced, require, size, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .row import Arrays


def _concat_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: concat_layer.cpp Reshape; concat_dim is the old name of axis."""
    settings = parameter.concat_param
    require(bottoms, 1)
    known = [bottom for bottom in bottoms if bottom is not None]
    if not known:
        return [None]
    axis = settings.concat_dim if settings.HasField("concat_dim") else settings.axis
    axis = axis_of(axis, len(known[0]))
    if any(len(bottom) != len(known[0]) for bottom in known):
        raise InputError(f"its bottoms have different numbers of axes: {', '.join(map(text, known))}")
    others = agreed([replaced(bottom, axis, None) for bottom in known])
    dims = [None if bottom is None else bottom[axis] for bottom in bottoms]
    joined = None if None in dims else sum(dim for dim in dims if dim is not None)
    return [None if others is None else replaced(others, axis, joined)]


def _slice_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: slice_layer.cpp Reshape; slice_dim is the old name of axis."""
    settings, tops = parameter.slice_param, len(parameter.top)
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        return [None] * tops
    axis = axis_of(settings.slice_dim if settings.HasField("slice_dim") else settings.axis, len(bottom))
    points = list(settings.slice_point)
    if points:
        dims = _between(points, bottom[axis], tops)
    else:
        dims = _evenly(bottom[axis], tops)
    return [replaced(bottom, axis, dim) for dim in dims]


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


def _flatten_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: flatten_layer.cpp Reshape."""
    settings = parameter.flatten_param
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        to_the_end = settings.axis >= 0 and settings.end_axis == -1
        return [(None,) * (settings.axis + 1) if to_the_end else None]
    first, last = axis_of(settings.axis, len(bottom)), axis_of(settings.end_axis, len(bottom))
    if last < first:
        raise InputError(f"end_axis {last} lies before axis {first}")
    return [(*bottom[:first], size(bottom[first : last + 1]), *bottom[last + 1 :])]


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
    order += [axis for axis in range(len(bottom)) if axis not in order]
    return [tuple(bottom[axis] for axis in order)]


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
    sizes = (None,) * len(bottom) if model is None else model
    if len(sizes) != len(bottom):
        raise InputError(f"its bottoms {text(bottom)} and {text(sizes)} have different numbers of axes")
    for offset, dim, wanted in zip(offsets, bottom[first:], sizes[first:]):
        if dim is not None and wanted is not None and offset + wanted > dim:
            raise InputError(f"{wanted} from offset {offset} on is more than the {dim} that its bottom has")
    return [(*bottom[:first], *sizes[first:])]


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


def _split_affine(parameter: Any, _blobs: Arrays, _bottoms: Shapes) -> Union[Affine, Refusal]:
    if len(parameter.top) != 1:
        return Refusal(f"it has {len(parameter.top)} tops")
    return IDENTITY


def _split_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    return [bottoms[0]] * len(parameter.top)


def _batch_reindex_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: batch_reindex_layer.cpp Reshape."""
    bottom, chosen = require(bottoms, 2)
    return [(chosen[0] if chosen else None, *bottom[1:]) if bottom else None]


def _filter_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """The last bottom says which images pass: how many, only a run tells (Caffe: filter_layer.cpp)."""
    require(bottoms, 2)
    return [(None, *bottom[1:]) if bottom else None for bottom in bottoms[:-1]]


def _eltwise_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: eltwise_layer.cpp Reshape."""
    require(bottoms, 2)
    return [agreed(bottoms)]


def _axpy_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """top = bottom 0, a number for each channel, times bottom 1, plus bottom 2."""
    return [agreed(require(bottoms, 3)[1:])]


def _shuffle_channel_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    group = parameter.shuffle_channel_param.group
    (bottom,) = require(bottoms, 1)
    channels: Optional[int] = None if bottom is None else bottom[axis_of(1, len(bottom))]
    if group < 1 or (channels or 0) % group:
        raise InputError(f"group {group} does not divide {channels} channels")
    return [bottom]


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


def _divided(dim: Dim, divisor: int) -> Dim:
    return None if dim is None else dim // divisor


ROWS = (
    LayerType("Concat", _concat_shapes),
    LayerType("Slice", _slice_shapes),
    LayerType("Split", like_bottom, affine=_split_affine, forward=_split_forward),
    LayerType("Flatten", _flatten_shapes),
    LayerType("Reshape", _reshape_shapes),
    LayerType("Permute", _permute_shapes),
    LayerType("Crop", _crop_shapes),
    LayerType("Tile", _tile_shapes),
    LayerType("BatchReindex", _batch_reindex_shapes),
    LayerType("Filter", _filter_shapes),
    LayerType("Eltwise", _eltwise_shapes),
    LayerType("Axpy", _axpy_shapes),
    LayerType("ShuffleChannel", _shuffle_channel_shapes),
    LayerType("Reorg", _reorg_shapes),
)
