"""Layers that take parts of one bottom, or repeat it: Slice, Crop, Tile, BatchReindex, Filter."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Union

import numpy as np

from ..errors import InputError
from .carried import UNKNOWN_SIZES, Carried, joined, same
from .homogeneous import Channels, Moved, Setting, unchanged
from .layer_type import IDENTITY, Affine, BlobShapes, Dim, LayerType, Refusal, Shapes
from .ranges import Passage, Range, is_channels
from .shapes import MOST_CHANNELS, axis_of, replaced, require, size, text, unknown_axes

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


def _slice_carries(carried: Carried) -> Union[List[Affine], Refusal]:
    """Along the channels the tops' affines one after the other, else one for all."""
    settings, shape = carried.parameter.slice_param, carried.bottoms[0]
    axes = {affine.axis for affine in carried.affines if affine.channels > 1}
    if shape is None or len(axes) > 1:
        return UNKNOWN_SIZES if shape is None else Refusal("its tops have their channels on different axes")
    axis = _slice_axis(settings, len(shape))
    if axes and axes != {axis}:
        return same(carried)
    found = joined(carried.affines, [None if top is None else top[axis] for top in carried.tops], axis)
    return found if isinstance(found, Refusal) else [found]


def _slice_homogeneous(setting: Setting) -> Optional[Moved]:
    settings, channels, shape = setting.parameter.slice_param, setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    axis = _slice_axis(settings, len(shape))
    if axis != channels.axis:
        return unchanged(setting)
    sizes = [None if top is None else top[axis] for top in setting.tops]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    return Moved([Channels(axis, part) for part in np.split(channels.labels, np.cumsum(known)[:-1])])


def _slice_ranges(passage: Passage) -> List[Range]:
    settings, (x,) = passage.parameter.slice_param, passage.ranges
    axis = settings.slice_dim if settings.HasField("slice_dim") else settings.axis
    counts = [None if shape is None or len(shape) < 2 else shape[1] for shape in passage.tops]
    by_channel = is_channels(axis, passage.bottoms[0])
    if x.channels == 1 or by_channel is False:
        return [x] * len(counts)
    if by_channel is None or None in counts:
        return [x.whole()] * len(counts)
    ends = list(accumulate(count or 0 for count in counts))
    return [Range(x.lows[first:end], x.highs[first:end]) for first, end in zip([0, *ends], ends)]


def _between(points: Sequence[int], total: Dim, tops: int) -> List[Dim]:
    if len(points) != tops - 1:
        raise InputError(f"{tops} tops need {tops - 1} values of slice_point, found {len(points)}")
    borders = [0, *points]
    ascending = all(low < high for low, high in zip(borders, borders[1:]))
    if not ascending or (total is not None and borders[-1] >= total):
        raise InputError(f"slice_point {points} has to ascend from 1 and stay below the {total} of its bottom")
    last = None if total is None else total - borders[-1]
    return [*(high - low for low, high in zip(borders, borders[1:])), last]


def _evenly(total: Dim, tops: int) -> List[Dim]:
    if total is None or tops == 0:
        return [None] * tops
    if total % tops:
        raise InputError(f"an axis of {total} cannot be sliced into {tops} equal tops")
    return [total // tops] * tops


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
            raise InputError(f"{wanted} from offset {offset} on exceeds the {dim} of its bottom")
    return [(*bottom[:first], *sizes[first:])]


def _crop_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    settings, (x, model) = parameter.crop_param, bottoms
    first = axis_of(settings.axis, x.ndim)
    offsets = list(settings.offset) or [0]
    offsets = offsets * (x.ndim - first) if len(offsets) == 1 else offsets
    kept = tuple(slice(offset, offset + length) for offset, length in zip(offsets, model.shape[first:]))
    return [np.ascontiguousarray(x[(*(slice(None),) * first, *kept)])]


def _crop_carries(carried: Carried) -> Union[List[Affine], Refusal]:
    """Of the second bottom only the shape matters."""
    (affine,), shape = carried.affines, carried.bottoms[0]
    if affine.channels > 1 and (shape is None or affine.axis >= axis_of(carried.parameter.crop_param.axis, len(shape))):
        return UNKNOWN_SIZES if shape is None else Refusal(f"it crops axis {affine.axis}")
    return [affine, IDENTITY]


def _crop_homogeneous(setting: Setting) -> Optional[Moved]:
    """Only the shape of the second bottom matters."""
    channels, shape = setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    return Moved([channels]) if channels.axis < axis_of(setting.parameter.crop_param.axis, len(shape)) else None


def _crop_ranges(passage: Passage) -> List[Range]:
    shape = passage.bottoms[0]
    after_channels = shape is not None and axis_of(passage.parameter.crop_param.axis, len(shape)) > 1
    return [passage.ranges[0] if after_channels else passage.ranges[0].whole()]


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


def _tile_ranges(passage: Passage) -> List[Range]:
    settings, (x,) = passage.parameter.tile_param, passage.ranges
    by_channel = is_channels(settings.axis, passage.bottoms[0])
    if by_channel is None:
        return [x.whole()]
    if x.channels == 1 or not by_channel:
        return [x]
    if x.channels * settings.tiles > MOST_CHANNELS:
        return [x.whole()]
    return [Range(np.tile(x.lows, settings.tiles), np.tile(x.highs, settings.tiles))]


def _batch_reindex_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: batch_reindex_layer.cpp Reshape."""
    bottom, chosen = require(bottoms, 2)
    return [(chosen[0] if chosen else None, *bottom[1:]) if bottom else None]


def _batch_reindex_forward(_parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: batch_reindex_layer.cpp check_batch_reindex."""
    x, chosen = bottoms[0], bottoms[1].reshape(-1)
    invalid = chosen[~((chosen >= 0) & (chosen < len(x)))]
    if invalid.size:
        raise InputError(f"its second bottom selects image {invalid[0]:g}, but there are {len(x)}")
    return [x[chosen.astype(np.intp)]]


def _filter_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """The last bottom selects the images; their number is only known in a run (Caffe: filter_layer.cpp)."""
    require(bottoms, 2)
    return [(None, *bottom[1:]) if bottom else None for bottom in bottoms[:-1]]


def _filter_forward(_parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    if any(len(bottom) != bottoms[-1].size for bottom in bottoms):
        raise InputError(f"its last bottom has {bottoms[-1].size} elements for {len(bottoms[0])} images")
    chosen = np.flatnonzero(bottoms[-1])
    return [bottom[chosen] for bottom in bottoms[:-1]]


def _each_same(passage: Passage) -> List[Range]:
    return list(passage.ranges[: len(passage.tops)])


LAYER_TYPES = (
    LayerType(
        "Slice",
        _slice_shapes,
        forward=_slice_forward,
        carries=_slice_carries,
        homogeneous=_slice_homogeneous,
        ranges=_slice_ranges,
        most=1,
        shares=lambda parameter: len(parameter.top) == 1,
    ),
    LayerType(
        "Crop",
        _crop_shapes,
        forward=_crop_forward,
        carries=_crop_carries,
        homogeneous=_crop_homogeneous,
        ranges=_crop_ranges,
        most=2,
    ),
    LayerType("Tile", _tile_shapes, forward=_tile_forward, ranges=_tile_ranges, most=1),
    LayerType("BatchReindex", _batch_reindex_shapes, forward=_batch_reindex_forward, ranges=_each_same, most=2),
    LayerType("Filter", _filter_shapes, forward=_filter_forward, ranges=_each_same),
)
