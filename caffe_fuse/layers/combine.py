"""Layers that make one top of several bottoms: Concat, Eltwise, Axpy."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Union

import numpy as np

from ..errors import InputError
from .carried import Carried, same, sliced
from .homogeneous import Channels, Labels, Moved, Setting
from .layer_type import Affine, BlobShapes, LayerType, Refusal, Shape, Shapes, single
from .ranges import Passage, Range, aligned, between, is_channels, product_of, sum_of
from .shapes import MOST_CHANNELS, agreed, axis_of, known_axis, replaced, require, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays


def _concat_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: concat_layer.cpp Reshape; concat_dim is the old name of axis."""
    settings = parameter.concat_param
    require(bottoms, 1)
    known = [bottom for bottom in bottoms if bottom is not None]
    if not known:
        return [None]
    axis = _concat_axis(settings, len(known[0]))
    if any(len(bottom) != len(known[0]) for bottom in known):
        raise InputError(f"its bottoms have different numbers of axes: {', '.join(map(text, known))}")
    others = agreed([replaced(bottom, axis, None) for bottom in known])
    dims = [None if bottom is None else bottom[axis] for bottom in bottoms]
    joined = None if None in dims else sum(dim for dim in dims if dim is not None)
    return [None if others is None else replaced(others, axis, joined)]


def _concat_axis(settings: Any, rank: int) -> int:
    return axis_of(settings.concat_dim if settings.HasField("concat_dim") else settings.axis, rank)


def _concat_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    return [np.concatenate(bottoms, _concat_axis(parameter.concat_param, bottoms[0].ndim))]


def _concat_carries(carried: Carried) -> Union[List[Affine], Refusal]:
    """Each bottom takes its slice."""
    (affine,), settings = carried.affines, carried.parameter.concat_param
    axis = known_axis(settings.concat_dim if settings.HasField("concat_dim") else settings.axis, carried.tops[0])
    if affine.channels == 1 or axis not in (None, affine.axis):
        return [affine] * len(carried.bottoms)
    counts = [None if shape is None or axis is None else shape[axis] for shape in carried.bottoms]
    return sliced(affine, counts)


def _concat_homogeneous(setting: Setting) -> Optional[Moved]:
    settings = setting.parameter.concat_param
    axis = settings.concat_dim if settings.HasField("concat_dim") else settings.axis
    axis = known_axis(axis, setting.tops[0])
    if axis is None:
        return None
    if any(channels is not None and channels.axis != axis for channels in setting.channels):
        return _tied(setting)
    parts: List[Labels] = []
    for channels, shape in zip(setting.channels, setting.bottoms):
        count = None if shape is None else shape[axis]
        if channels is None and count is None:
            return None
        # One label, 0, for as many channels as the text says; it is broadcast, not repeated.
        parts.append(np.broadcast_to(np.int64(0), (count or 0,)) if channels is None else channels.labels)
    if sum(part.size for part in parts) > MOST_CHANNELS:
        return None
    return Moved([Channels(axis, np.concatenate(parts))])


def _concat_ranges(passage: Passage) -> List[Range]:
    settings = passage.parameter.concat_param
    axis = settings.concat_dim if settings.HasField("concat_dim") else settings.axis
    by_channel = is_channels(axis, passage.bottoms[0])
    if by_channel is False:
        return [_joined(passage.ranges)]
    counts = [_channels(x, shape) for x, shape in zip(passage.ranges, passage.bottoms)]
    if by_channel is None or 0 in counts or sum(counts) > MOST_CHANNELS:
        return [_joined([x.whole() for x in passage.ranges])]
    sides = zip(*passage.ranges)
    return [Range(*(np.concatenate([*map(np.broadcast_to, ends, counts)]) for ends in sides))]


def _joined(ranges: Sequence[Range]) -> Range:
    """The smallest range that contains all."""
    lows, highs = zip(*aligned(ranges))
    return Range(reduce(np.minimum, lows), reduce(np.maximum, highs))


def _channels(x: Range, shape: Shape) -> int:
    """The number of channels of a value with this range and shape; 0 if it is not known."""
    if x.channels > 1:
        return x.channels
    return 0 if shape is None or len(shape) < 2 else shape[1] or 0


def _eltwise_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: eltwise_layer.cpp Reshape."""
    require(bottoms, 2)
    return [agreed(bottoms)]


def _eltwise_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: eltwise_layer.cpp LayerSetUp and Forward_cpu."""
    settings, coefficients = parameter.eltwise_param, list(parameter.eltwise_param.coeff)
    if coefficients and (settings.operation != settings.SUM or len(coefficients) != len(bottoms)):
        raise InputError(f"it has {len(coefficients)} values of coeff, but only a SUM takes them, one for each bottom")
    if any(coefficient != 1 for coefficient in coefficients):
        bottoms = [bottom * coefficient for bottom, coefficient in zip(bottoms, coefficients)]
    combine = {settings.SUM: np.add, settings.PROD: np.multiply, settings.MAX: np.maximum}[settings.operation]
    top: NDArray[Any] = combine(bottoms[0], bottoms[1])
    for bottom in bottoms[2:]:
        combine(top, bottom, out=top)
    return [top]


def _eltwise_carries(carried: Carried) -> Union[List[Affine], Refusal]:
    """Of a sum, the scale to each bottom and the shift to one; of a maximum all to each, where no scale turns it."""
    (affine,), settings, count = carried.affines, carried.parameter.eltwise_param, len(carried.bottoms)
    if settings.operation == settings.MAX:
        return same(carried) if np.all(affine.scale > 0) else Refusal("a scale is not above 0, and turns its maximum")
    if settings.operation == settings.PROD:
        return Refusal("it multiplies its bottoms")
    factors = list(settings.coeff) or [1.0] * count
    receiver = next((place for place, factor in enumerate(factors) if factor), None)
    if receiver is None:
        return Refusal("all of its coefficients are 0")
    found = [replace(affine, shift=np.zeros_like(affine.shift))] * count
    found[receiver] = replace(affine, shift=affine.shift / single(factors[receiver]))
    return found


def _tied(setting: Setting) -> Optional[Moved]:
    """Ties the labels of all bottoms, so that they get the same powers."""
    first = setting.channels[0]
    for channels in setting.channels:
        if (
            first is None
            or channels is None
            or channels.axis != first.axis
            or channels.labels.size != first.labels.size
        ):
            return None
        setting.ties.tie(first.labels, channels.labels)
    return Moved([first])


def _eltwise_homogeneous(setting: Setting) -> Optional[Moved]:
    product = type(setting.parameter.eltwise_param).PROD
    return None if setting.parameter.eltwise_param.operation == product else _tied(setting)


def _eltwise_ranges(passage: Passage) -> List[Range]:
    settings, ranges = passage.parameter.eltwise_param, aligned(passage.ranges)
    if settings.operation == settings.MAX:
        return [Range(*(reduce(np.maximum, ends) for ends in zip(*ranges)))]
    if settings.operation == settings.PROD:
        product = ranges[0]
        for other in ranges[1:]:
            product = product_of(product, other)
        return [product]
    factors = [between(factor, factor) for factor in settings.coeff] or [between(1, 1)] * len(ranges)
    return [sum_of([product_of(x, factor) for x, factor in zip(ranges, factors)])]


def _axpy_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """top = bottom 0, one factor for each channel, times bottom 1, plus bottom 2."""
    return [agreed(require(bottoms, 3)[1:])]


def _axpy_forward(_parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """SENet: axpy_layer.cpp."""
    factors, x, added = bottoms
    if x.ndim < 2 or factors.size != x.shape[0] * x.shape[1]:
        raise InputError(f"its first bottom {text(factors.shape)} does not fit the channels of {text(x.shape)}")
    return [factors.reshape(*x.shape[:2], *(1,) * (x.ndim - 2)) * x + added]


def _axpy_ranges(passage: Passage) -> List[Range]:
    factor, x, added = passage.ranges
    return [sum_of([product_of(factor, x), added])]


LAYER_TYPES = (
    LayerType(
        "Concat",
        _concat_shapes,
        forward=_concat_forward,
        carries=_concat_carries,
        homogeneous=_concat_homogeneous,
        ranges=_concat_ranges,
        picks=lambda _parameter: True,
        shares=lambda parameter: len(parameter.bottom) == 1,
    ),
    LayerType(
        "Eltwise",
        _eltwise_shapes,
        forward=_eltwise_forward,
        carries=_eltwise_carries,
        homogeneous=_eltwise_homogeneous,
        ranges=_eltwise_ranges,
    ),
    LayerType("Axpy", _axpy_shapes, forward=_axpy_forward, ranges=_axpy_ranges, most=3, foreign=True),
)
