"""How layers carry ranges: between which numbers each channel of a top lies, from those of the bottoms.

A layer with weights carries none: the sum of the extremes of a thousand numbers says nothing about their sum. Of a type
that is missing here nothing is known either.
"""

from __future__ import annotations

from functools import partial, reduce
from itertools import accumulate
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from .layer_type import Affine, LayerType, Shape, Shapes
from .shapes import MOST_CHANNELS, axis_of, known_axis

if TYPE_CHECKING:
    from .layer_type import Arrays, Doubles


class Range(NamedTuple):
    """Every number of channel c, on axis 1, lies between lows[c] and highs[c], both included.

    float64 of shape (channels,), or (1,) where one pair serves every number. Infinite where nothing is known.
    """

    lows: Doubles
    highs: Doubles

    @property
    def channels(self) -> int:
        return int(self.lows.size)

    @property
    def magnitudes(self) -> Doubles:
        return np.maximum(np.abs(self.lows), np.abs(self.highs))

    @property
    def bounded(self) -> bool:
        # Infinities and NaN stay in a sum; some versions of numpy say something about NaN that signals.
        with np.errstate(all="ignore"):
            return isfinite(self.lows.sum()) and isfinite(self.highs.sum())

    def whole(self) -> Range:
        """One pair for all channels."""
        return Range(self.lows.min(keepdims=True), self.highs.max(keepdims=True))


def between(low: float, high: float) -> Range:
    return Range(np.array([low]), np.array([high]))


UNKNOWN = between(-np.inf, np.inf)


class Passage(NamedTuple):
    """One layer: its parameter and blobs, the ranges of its bottoms, and the shapes around it."""

    parameter: Any
    blobs: Arrays
    ranges: Sequence[Range]
    bottoms: Shapes
    tops: Shapes


Ranges = Callable[[Passage], List[Range]]


def ranges_of(entry: LayerType) -> Optional[Ranges]:
    """How a type carries ranges, None if nothing is known of its tops."""
    if entry.name in _TURNING:
        return partial(_elementwise, entry, _TURNING[entry.name])
    if entry.name == "Swish":
        return partial(_swish, entry)
    if entry.name in _AFFINE:
        return partial(_affine, entry)
    return _OTHERS.get(entry.name)


def _elementwise(entry: LayerType, turning: Callable[[Any], float], passage: Passage) -> List[Range]:
    """The function at both ends and at the one place between them where it may turn."""
    lows, highs = passage.ranges[0]
    ends = np.stack([lows, highs, np.minimum(np.maximum(turning(passage.parameter), lows), highs)])
    assert entry.forward is not None
    with np.errstate(all="ignore"):
        (images,) = entry.forward(passage.parameter, passage.blobs, [ends])
    return [_spanned(images)]


def _spanned(images: Any) -> Range:
    """From the least to the largest along axis 0. Where the function has no value, of infinity or of all, is no end."""
    lows, highs = np.fmin.reduce(images), np.fmax.reduce(images)
    return Range(np.where(np.isnan(lows), -np.inf, lows), np.where(np.isnan(highs), np.inf, highs))


def _zero_of_the_line(settings: Any) -> float:
    """Where shift + scale * x is 0."""
    return -settings.shift / settings.scale if settings.scale else 0.0


def _swish(entry: LayerType, passage: Passage) -> List[Range]:
    """Swish goes to 0 on one side. Where x + 1 + exp(x) = 0 is, x / (1 + exp(-x)) turns."""
    beta = passage.parameter.swish_param.beta
    (found,) = _elementwise(entry, lambda _parameter: -1.2784645427610738 / beta if beta else 0.0, passage)
    return [found if passage.ranges[0].bounded else _with_zero(found)]


def _power(entry: LayerType, passage: Passage) -> List[Range]:
    """Below 0 a power has a pole."""
    if passage.parameter.power_param.power < 0:
        return _unknown(passage)
    return _elementwise(entry, lambda parameter: _zero_of_the_line(parameter.power_param), passage)


def _affine(entry: LayerType, passage: Passage) -> List[Range]:
    """scale * x + shift."""
    assert entry.affine is not None
    affine = entry.affine(passage.parameter, passage.blobs, passage.bottoms)
    if not isinstance(affine, Affine):
        return _power(entry, passage) if entry.name == "Power" else _by_another(passage)
    x = passage.ranges[0]
    scale, shift = Range(affine.scale, affine.scale), Range(affine.shift, affine.shift)
    if affine.channels > 1 and affine.axis != 1:
        return [_sum([_product(x.whole(), scale), shift]).whole()]
    return [_sum([_product(x, scale), shift])]


def _unknown(passage: Passage) -> List[Range]:
    return [UNKNOWN] * len(passage.tops)


def _by_another(passage: Passage) -> List[Range]:
    """A Scale or Bias whose numbers lie along several axes, or come from another layer.

    The latter are one for each channel if they have the first axes of the bottom.
    """
    is_scale = passage.parameter.type == "Scale"
    blobs = [Range(blob.reshape(-1), blob.reshape(-1)).whole() for blob in passage.blobs if blob.size]
    if passage.parameter.type not in ("Scale", "Bias") or not all(blob.bounded for blob in blobs):
        return _unknown(passage)
    x, others = passage.ranges[0], [*passage.ranges[1:], *blobs]
    if not others:
        return _unknown(passage)
    settings = passage.parameter.scale_param if is_scale else passage.parameter.bias_param
    if settings.axis != 0 or len(passage.ranges) == 1 or len(passage.bottoms[1] or ()) < 2:
        others[0] = others[0].whole()
    return [_sum([_product(x, others[0]), *others[1:]] if is_scale else [x, others[0]])]


def _aligned(ranges: Sequence[Range]) -> Sequence[Range]:
    """With one number of channels, or one pair each where they do not agree about it."""
    sizes = {found.channels for found in ranges} - {1}
    return ranges if len(sizes) < 2 else [found.whole() for found in ranges]


def _sum(ranges: Sequence[Range]) -> Range:
    """inf - inf is no end: a setting may be infinite, and half of all numbers too."""
    with np.errstate(over="ignore", invalid="ignore"):
        lows, highs = (reduce(np.add, ends) for ends in zip(*_aligned(ranges)))
    return Range(np.where(np.isnan(lows), -np.inf, lows), np.where(np.isnan(highs), np.inf, highs))


def _product(one: Range, other: Range) -> Range:
    """0 times a number that is not known is 0."""
    one, other = _aligned([one, other])
    with np.errstate(over="ignore", invalid="ignore"):
        corners = [a * b for a in one for b in other]
    lows, highs = reduce(np.fmin, corners), reduce(np.fmax, corners)
    return Range(np.where(np.isnan(lows), 0.0, lows), np.where(np.isnan(highs), 0.0, highs))


def _eltwise(passage: Passage) -> List[Range]:
    settings, ranges = passage.parameter.eltwise_param, _aligned(passage.ranges)
    if settings.operation == settings.MAX:
        return [Range(*(reduce(np.maximum, ends) for ends in zip(*ranges)))]
    if settings.operation == settings.PROD:
        product = ranges[0]
        for other in ranges[1:]:
            product = _product(product, other)
        return [product]
    factors = [between(factor, factor) for factor in settings.coeff] or [between(1, 1)] * len(ranges)
    return [_sum([_product(found, factor) for found, factor in zip(ranges, factors)])]


def _axpy(passage: Passage) -> List[Range]:
    factor, x, added = passage.ranges
    return [_sum([_product(factor, x), added])]


def _joined(ranges: Sequence[Range]) -> Range:
    """What holds the numbers of all."""
    lows, highs = zip(*_aligned(ranges))
    return Range(reduce(np.minimum, lows), reduce(np.maximum, highs))


def _concat(passage: Passage) -> List[Range]:
    settings = passage.parameter.concat_param
    axis = settings.concat_dim if settings.HasField("concat_dim") else settings.axis
    is_channels = _is_channels(axis, passage.bottoms[0])
    if is_channels is False:
        return [_joined(passage.ranges)]
    counts = [_channels(found, shape) for found, shape in zip(passage.ranges, passage.bottoms)]
    if is_channels is None or 0 in counts or sum(counts) > MOST_CHANNELS:
        return [_joined([found.whole() for found in passage.ranges])]
    sides = zip(*passage.ranges)
    return [Range(*(np.concatenate([*map(np.broadcast_to, ends, counts)]) for ends in sides))]


def _is_channels(axis: int, shape: Shape) -> Optional[bool]:
    """None where only a rank that is not known would tell."""
    found = known_axis(axis, shape)
    return None if found is None else found == 1


def _channels(found: Range, shape: Shape) -> int:
    """How many channels the value has; 0 where nobody knows."""
    if found.channels > 1:
        return found.channels
    return 0 if shape is None or len(shape) < 2 else shape[1] or 0


def _slice(passage: Passage) -> List[Range]:
    settings, (x,) = passage.parameter.slice_param, passage.ranges
    axis = settings.slice_dim if settings.HasField("slice_dim") else settings.axis
    counts = [None if shape is None or len(shape) < 2 else shape[1] for shape in passage.tops]
    is_channels = _is_channels(axis, passage.bottoms[0])
    if x.channels == 1 or is_channels is False:
        return [x] * len(counts)
    if is_channels is None or None in counts:
        return [x.whole()] * len(counts)
    ends = list(accumulate(count or 0 for count in counts))
    return [Range(x.lows[first:end], x.highs[first:end]) for first, end in zip([0, *ends], ends)]


def _same(passage: Passage) -> List[Range]:
    return [passage.ranges[0]] * len(passage.tops)


def _each_same(passage: Passage) -> List[Range]:
    return list(passage.ranges[: len(passage.tops)])


def _mixed(passage: Passage) -> List[Range]:
    return [passage.ranges[0].whole()] * len(passage.tops)


def _with_zero(found: Range) -> Range:
    return Range(np.minimum(found.lows, 0), np.maximum(found.highs, 0))


def _zero_filled(passage: Passage) -> List[Range]:
    return [_with_zero(passage.ranges[0])] * len(passage.tops)


def _pooling(passage: Passage) -> List[Range]:
    """An average counts the padding as zeros. A second top holds places."""
    settings, (x,) = passage.parameter.pooling_param, passage.ranges
    if settings.pool == settings.STOCHASTIC:
        return _unknown(passage)
    sides = ("pad", "pad_h", "pad_w", "pad_t", "pad_l", "pad_b", "pad_r")
    padded = settings.pool == settings.AVE and any(getattr(settings, side) for side in sides)
    return [_with_zero(x) if padded else x, UNKNOWN][: len(passage.tops)]


def _reshaped(passage: Passage) -> List[Range]:
    """Channels that keep their place, or whose numbers become channels one by one."""
    (x,), bottom, top = passage.ranges, passage.bottoms[0], passage.tops[0]
    if x.channels == 1:
        return [x]
    if bottom is None or top is None or len(bottom) < 2 or len(top) < 2 or bottom[0] != top[0]:
        return [x.whole()]
    if bottom[1] == top[1]:
        return [x]
    behind = [dim for dim in bottom[2:] if dim is not None]
    if len(behind) < len(bottom) - 2 or top[1] != x.channels * prod(behind) or top[1] > MOST_CHANNELS:
        return [x.whole()]
    return [Range(np.repeat(x.lows, prod(behind)), np.repeat(x.highs, prod(behind)))]


def _permute(passage: Passage) -> List[Range]:
    order = list(passage.parameter.permute_param.order)
    place = order.index(1) if 1 in order else len(order) + (0 not in order)
    return [passage.ranges[0] if place == 1 else passage.ranges[0].whole()]


def _crop(passage: Passage) -> List[Range]:
    shape = passage.bottoms[0]
    behind = shape is not None and axis_of(passage.parameter.crop_param.axis, len(shape)) > 1
    return [passage.ranges[0] if behind else passage.ranges[0].whole()]


def _tile(passage: Passage) -> List[Range]:
    settings, (x,) = passage.parameter.tile_param, passage.ranges
    is_channels = _is_channels(settings.axis, passage.bottoms[0])
    if is_channels is None:
        return [x.whole()]
    if x.channels == 1 or not is_channels:
        return [x]
    if x.channels * settings.tiles > MOST_CHANNELS:
        return [x.whole()]
    return [Range(np.tile(x.lows, settings.tiles), np.tile(x.highs, settings.tiles))]


def _shuffle_channel(passage: Passage) -> List[Range]:
    (x,), group = passage.ranges, passage.parameter.shuffle_channel_param.group
    if x.channels == 1:
        return [x]
    lows, highs = (ends.reshape(group, -1).T.reshape(-1) for ends in x)
    return [Range(lows, highs)]


def _lrn(passage: Passage) -> List[Range]:
    """Divided by at least k^beta: the squares only add to it."""
    settings, (x,) = passage.parameter.lrn_param, passage.ranges
    within = settings.norm_region == settings.WITHIN_CHANNEL
    least = 1.0 if within else settings.k
    with np.errstate(all="ignore"):
        divisor = np.float64(least) ** settings.beta
    if not (settings.alpha >= 0 and settings.beta >= 0 and least > 0 and 0 < divisor < np.inf):
        return [UNKNOWN]
    smaller = _with_zero(x)
    return [Range(smaller.lows / divisor, smaller.highs / divisor)]


def _normalize(passage: Passage) -> List[Range]:
    """No number of a vector of length 1 is larger than that."""
    scale = np.abs(np.asarray(passage.blobs[0], np.float64).reshape(-1))
    return [Range(-scale, scale)]


def _squashed(low: float, passage: Passage) -> List[Range]:
    return [between(low, 1.0)] if len(passage.tops) == 1 else _unknown(passage)


def _at_zero(_parameter: Any) -> float:
    return 0.0


# Where a function of one number may change between rising and falling; any place will do where it never does.
_TURNING: Dict[str, Callable[[Any], float]] = {
    **dict.fromkeys(("AbsVal", "BNLL", "Clip", "ELU", "Exp", "PReLU", "ReLU", "ReLU6"), _at_zero),
    **dict.fromkeys(("Sigmoid", "TanH", "Threshold"), _at_zero),
    "Log": lambda parameter: _zero_of_the_line(parameter.log_param),
}
_AFFINE = ("Scale", "Bias", "Power", "Dropout")
_OTHERS: Dict[str, Ranges] = {
    **dict.fromkeys(("Split", "Interp"), _same),
    **dict.fromkeys(("BatchReindex", "Filter"), _each_same),
    **dict.fromkeys(("Upsample", "ROIPooling"), _zero_filled),
    **dict.fromkeys(("Flatten", "Reshape"), _reshaped),
    **dict.fromkeys(("LSTM", "RNN"), partial(_squashed, -1.0)),
    "Axpy": _axpy,
    "Concat": _concat,
    "Crop": _crop,
    "Eltwise": _eltwise,
    "LRN": _lrn,
    "Normalize": _normalize,
    "Permute": _permute,
    "Pooling": _pooling,
    "Reorg": _mixed,
    "ShuffleChannel": _shuffle_channel,
    "Slice": _slice,
    "Softmax": partial(_squashed, 0.0),
    "Tile": _tile,
}
