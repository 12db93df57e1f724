"""Layers that copy every element of one bottom, in another shape or order: Split, Reshape, Flatten, Permute ..."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import InputError
from .blocks import shuffled, shuffled_carries, shuffled_shapes
from .carried import UNKNOWN_SIZES, Carried, kept_axis
from .carried import same as same_affine
from .homogeneous import Channels, Moved, Setting, flattened, unchanged
from .layer_type import IDENTITY, Affine, BlobShapes, Dim, Dims, LayerType, Refusal, Shapes
from .ranges import Passage, Range, same
from .shapes import MOST_CHANNELS, axis_of, like_bottom, require, size, sizes, text, unknown_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays


def _reshaping(shapes: Callable[[Any, Shapes, BlobShapes], Shapes]) -> Callable[..., List[NDArray[Any]]]:
    """The forward function of a layer that only reshapes its bottom."""

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
        raise InputError(f"end_axis {last} is before axis {first}")
    return [(*bottom[:first], size(bottom[first : last + 1]), *bottom[last + 1 :])]


def _reshape_carries(carried: Carried) -> Union[List[Affine], Refusal]:
    """Flatten and Reshape, where the channels stay an axis."""
    if not _only_reshapes(carried.parameter):
        return shuffled_carries(carried.parameter.reshape_param.pixelshuffler, carried)
    (affine,) = carried.affines
    if affine.channels == 1:
        return [affine]
    axis = kept_axis(affine.axis, carried.bottoms[0], carried.tops[0])
    return Refusal("the channels after it are no axis before it") if axis is None else [replace(affine, axis=axis)]


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
    """0 keeps the bottom's size, -1 is inferred from the others (Caffe: reshape_layer.cpp)."""
    settings = parameter.reshape_param
    if not _only_reshapes(parameter):
        return shuffled_shapes(settings.pixelshuffler, bottoms)
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


def _reshaped(passage: Passage) -> List[Range]:
    """The range if the channels are kept, or if each of their elements becomes a channel; one pair otherwise."""
    (x,), bottom, top = passage.ranges, passage.bottoms[0], passage.tops[0]
    if x.channels == 1:
        return [x]
    if bottom is None or top is None or len(bottom) < 2 or len(top) < 2 or bottom[0] != top[0]:
        return [x.whole()]
    if bottom[1] == top[1]:
        return [x]
    space = [dim for dim in bottom[2:] if dim is not None]
    if len(space) < len(bottom) - 2 or top[1] != x.channels * prod(space) or top[1] > MOST_CHANNELS:
        return [x.whole()]
    return [Range(np.repeat(x.lows, prod(space)), np.repeat(x.highs, prod(space)))]


def _replaced_axes(settings: Any, rank: int) -> Tuple[int, int]:
    """The axes first .. end-1 that `shape` replaces; axis -1 is after the last one."""
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


def _permute_carries(carried: Carried) -> Union[List[Affine], Refusal]:
    (affine,), shape = carried.affines, carried.bottoms[0]
    if affine.channels == 1:
        return [affine]
    if shape is None:
        return UNKNOWN_SIZES
    return [replace(affine, axis=_whole_order(carried.parameter.permute_param.order, len(shape))[affine.axis])]


def _permute_homogeneous(setting: Setting) -> Optional[Moved]:
    channels, shape = setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    order = _whole_order(setting.parameter.permute_param.order, len(shape))
    return Moved([Channels(order.index(channels.axis), channels.labels)])


def _permute_ranges(passage: Passage) -> List[Range]:
    order = list(passage.parameter.permute_param.order)
    place = order.index(1) if 1 in order else len(order) + (0 not in order)
    return [passage.ranges[0] if place == 1 else passage.ranges[0].whole()]


def _split_affine(_parameter: Any, _blobs: Arrays, _bottoms: Shapes) -> Affine:
    return IDENTITY


def _split_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    return [bottoms[0]] * len(parameter.top)


def _shuffle_channel_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    group = parameter.shuffle_channel_param.group
    (bottom,) = require(bottoms, 1)
    channels: Optional[int] = None if bottom is None else bottom[axis_of(1, len(bottom))]
    if group < 1 or (channels or 0) % group:
        raise InputError(f"group {group} does not divide {channels} channels")
    return [bottom]


def _shuffle_channel_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """The channels as a matrix of `group` rows, read column by column."""
    (x,) = bottoms
    matrix = x.reshape(len(x), parameter.shuffle_channel_param.group, -1, *x.shape[2:])
    return [matrix.swapaxes(1, 2).reshape(x.shape)]


def _shuffle_channel_carries(carried: Carried) -> Union[List[Affine], Refusal]:
    (affine,), group = carried.affines, carried.parameter.shuffle_channel_param.group
    if affine.channels == 1 or affine.axis != 1:
        return [affine]
    return [Affine(1, *(values.reshape(-1, group).T.reshape(-1) for values in (affine.scale, affine.shift)))]


def _shuffle_channel_homogeneous(setting: Setting) -> Optional[Moved]:
    channels = setting.channels[0]
    if channels is None or channels.axis != 1:
        return None
    rows = channels.labels.reshape(setting.parameter.shuffle_channel_param.group, -1)
    return Moved([Channels(1, rows.T.reshape(-1))])


def _shuffle_channel_ranges(passage: Passage) -> List[Range]:
    (x,), group = passage.ranges, passage.parameter.shuffle_channel_param.group
    if x.channels == 1:
        return [x]
    lows, highs = (ends.reshape(group, -1).T.reshape(-1) for ends in x)
    return [Range(lows, highs)]


def _only_reshapes(parameter: Any) -> bool:
    return bool(parameter.reshape_param.pixelshuffler == 1)


def _reshape_forward(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    if _only_reshapes(parameter):
        return _reshaping(_reshape_shapes)(parameter, blobs, bottoms)
    return [shuffled(parameter.reshape_param.pixelshuffler, bottoms[0])]


def _always(_parameter: Any) -> bool:
    return True


LAYER_TYPES = (
    LayerType(
        "Split",
        like_bottom,
        affine=_split_affine,
        forward=_split_forward,
        carries=same_affine,
        homogeneous=unchanged,
        ranges=same,
        most=1,
        shares=_always,
        keeps=True,
    ),
    LayerType(
        "Flatten",
        _flatten_shapes,
        forward=_reshaping(_flatten_shapes),
        carries=_reshape_carries,
        homogeneous=_flatten_homogeneous,
        ranges=_reshaped,
        most=1,
        shares=_always,
        keeps=True,
    ),
    LayerType(
        "Reshape",
        _reshape_shapes,
        forward=_reshape_forward,
        carries=_reshape_carries,
        ranges=_reshaped,
        most=1,
        shares=_only_reshapes,
        keeps=True,
    ),
    LayerType(
        "Permute",
        _permute_shapes,
        forward=_permute_forward,
        carries=_permute_carries,
        homogeneous=_permute_homogeneous,
        ranges=_permute_ranges,
        most=1,
        foreign=True,
    ),
    LayerType(
        "ShuffleChannel",
        _shuffle_channel_shapes,
        forward=_shuffle_channel_forward,
        carries=_shuffle_channel_carries,
        homogeneous=_shuffle_channel_homogeneous,
        ranges=_shuffle_channel_ranges,
        most=1,
        foreign=True,
    ),
)
