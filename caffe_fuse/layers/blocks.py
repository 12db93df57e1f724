"""Layers that move blocks of elements: between space and channels (Reorg, a pixel shuffle), or space and the batch.

A pixel shuffle is what Synopsys' Caffe makes of a Reshape with `pixelshuffler: r`.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, List, Sequence, Tuple, Union

import numpy as np

from ..errors import InputError
from .carried import Carried
from .layer_type import Affine, BlobShapes, Dim, Dims, LayerType, Refusal, Shapes
from .pooling import image
from .ranges import Passage, Range, with_zero
from .shapes import require, size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays

    Array = NDArray[Any]


def shuffled_shapes(factor: int, bottoms: Shapes) -> Shapes:
    """Synopsys: reshape_layer.cpp Reshape."""
    num, channels, height, width = image(bottoms)
    if factor < 1 or (channels or 0) % factor**2:
        raise InputError(f"pixelshuffler {factor} squared does not divide {channels} channels")
    return [(num, _divided(channels, factor**2), size((height, factor)), size((width, factor)))]


def shuffled(factor: int, x: Array) -> Array:
    """Channel c goes to channel c / r^2, row h * r + c / r % r and column w * r + c % r (Synopsys)."""
    num, channels, height, width = x.shape
    split = x.reshape(num, channels // factor**2, factor, factor, height, width).transpose(0, 1, 4, 2, 5, 3)
    return split.reshape(num, channels // factor**2, height * factor, width * factor)


def shuffled_carries(factor: int, carried: Carried) -> Union[List[Affine], Refusal]:
    (affine,) = carried.affines
    if affine.channels == 1:
        return [affine]
    if affine.axis != 1:
        return Refusal("the channels after it are no axis before it")
    scale, shift = (np.repeat(values, factor**2) for values in (affine.scale, affine.shift))
    return [Affine(1, scale, shift)]


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


def _reorg_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """Darknet's reorg_cpu, which interprets its bottom as fewer channels of a larger image."""
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


def _to_space_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Synopsys: batch_to_space_nd_layer.cpp Reshape."""
    settings = parameter.batch_to_space_nd_param
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        return [None]
    block, crops = _blocks(settings.block_shape, settings.crops, bottom)
    space = [None if dim is None else dim * factor - sum(ends) for dim, factor, ends in zip(bottom[1:], block, crops)]
    return [(_divided(bottom[0], prod(block)), *space, *bottom[1 + len(block) :])]


def _to_batch_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Synopsys: space_to_batch_nd_layer.cpp Reshape."""
    settings = parameter.space_to_batch_nd_param
    (bottom,) = require(bottoms, 1)
    if bottom is None:
        return [None]
    block, paddings = _blocks(settings.block_shape, settings.paddings, bottom)
    space = [
        None if dim is None else (dim + sum(ends)) // factor for dim, factor, ends in zip(bottom[1:], block, paddings)
    ]
    return [(size((bottom[0], prod(block))), *space, *bottom[1 + len(block) :])]


def _blocks(block: Sequence[int], ends: Sequence[int], bottom: Dims) -> Tuple[Tuple[int, ...], List[Tuple[int, int]]]:
    """The factor of each axis from the first on, and what is cropped or padded before and after."""
    if not block or min(block) < 1 or len(block) >= len(bottom):
        raise InputError(f"block_shape {list(block)} has to hold 1 or more for each of the axes after the batch")
    if len(ends) not in (0, 2 * len(block)):
        raise InputError(f"{len(ends)} crops or paddings do not fit {len(block)} axes")
    pairs = list(zip(ends[::2], ends[1::2])) or [(0, 0)] * len(block)
    return tuple(block), pairs


def _to_space_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """The block of the batch is its slow part (TensorFlow: batch_to_space_nd)."""
    settings, (x,) = parameter.batch_to_space_nd_param, bottoms
    block, crops = _blocks(settings.block_shape, settings.crops, x.shape)
    num, rank = len(x) // prod(block), len(block)
    if num * prod(block) != len(x):
        raise InputError(f"block_shape {list(block)} does not divide a batch of {len(x)}")
    split = x.reshape(*block, num, *x.shape[1:])
    paired = [axis for place in range(rank) for axis in (rank + 1 + place, place)]
    order = [rank, *paired, *range(2 * rank + 1, split.ndim)]
    sizes = [dim * factor for dim, factor in zip(x.shape[1:], block)]
    whole = split.transpose(order).reshape(num, *sizes, *x.shape[1 + rank :])
    return [whole[(slice(None), *(slice(before, dim - after) for dim, (before, after) in zip(sizes, crops)))]]


def _to_batch_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """TensorFlow: space_to_batch_nd."""
    settings, (x,) = parameter.space_to_batch_nd_param, bottoms
    block, paddings = _blocks(settings.block_shape, settings.paddings, x.shape)
    rank = len(block)
    wide = np.pad(x, [(0, 0), *paddings, *[(0, 0)] * (x.ndim - 1 - rank)])
    if any(dim % factor for dim, factor in zip(wide.shape[1:], block)):
        raise InputError(f"block_shape {list(block)} does not divide {wide.shape[1 : 1 + rank]}")
    parts = [part for dim, factor in zip(wide.shape[1:], block) for part in (dim // factor, factor)]
    split = wide.reshape(len(x), *parts, *x.shape[1 + rank :])
    order = [*range(2, 2 * rank + 1, 2), 0, *range(1, 2 * rank, 2), *range(2 * rank + 1, split.ndim)]
    return [split.transpose(order).reshape(-1, *parts[::2], *x.shape[1 + rank :])]


def _blocks_carry(name: str, carried: Carried) -> Union[List[Affine], Refusal]:
    """A scale and shift along an axis behind those of the blocks; padding is 0 before as after a scale alone."""
    (affine,), settings = carried.affines, getattr(carried.parameter, name)
    if affine.channels > 1 and affine.axis <= len(settings.block_shape):
        return Refusal(f"it takes axis {affine.axis} apart")
    if name == "space_to_batch_nd_param" and any(settings.paddings) and affine.shift.any():
        return Refusal("its padding counts as zeros, which the shift would not reach")
    return [affine]


def _blocks_ranges(passage: Passage) -> List[Range]:
    whole = passage.ranges[0].whole()
    return [with_zero(whole) if any(passage.parameter.space_to_batch_nd_param.paddings) else whole]


def _whole_ranges(passage: Passage) -> List[Range]:
    return [passage.ranges[0].whole()] * len(passage.tops)


def _divided(dim: Dim, divisor: int) -> Dim:
    return None if dim is None else dim // divisor


LAYER_TYPES = (
    LayerType("Reorg", _reorg_shapes, forward=_reorg_forward, ranges=_whole_ranges, most=1, foreign=True),
    LayerType(
        "BatchToSpaceND",
        _to_space_shapes,
        forward=_to_space_forward,
        ranges=_whole_ranges,
        carries=partial(_blocks_carry, "batch_to_space_nd_param"),
        most=1,
        foreign=True,
    ),
    LayerType(
        "SpaceToBatchND",
        _to_batch_shapes,
        forward=_to_batch_forward,
        ranges=_blocks_ranges,
        carries=partial(_blocks_carry, "space_to_batch_nd_param"),
        most=1,
        foreign=True,
    ),
)
