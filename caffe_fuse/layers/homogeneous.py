"""Powers of two that pass through layers: f(s * x) = s * f(x), with an s > 0 of its own for each channel.

Each channel of a blob has a label; channels of one label are multiplied by the same power of two. A layer with
weights gives its tops new labels, since its weights can make up for any power; other layers hand labels on, or tie some
together. What a layer here does not hand on it pins; so does every type that is missing here.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..blobs.scaled import Layout
from ..schema.messages import PHASES
from .layer_type import BlobShapes, Shapes
from .shapes import MOST_CHANNELS, axis_of, known_axis, size

Labels = np.ndarray  # int64


class Channels(NamedTuple):
    """labels[j] is the label of the numbers at index j of `axis`."""

    axis: int
    labels: Labels


class Scaled(NamedTuple):
    """A blob's numbers change with the powers of these channels: multiplied by them, or divided."""

    layout: Layout
    labels: Labels
    divided: bool = False


class Moved(NamedTuple):
    """What a layer does to powers. tops: None where all is pinned. blobs: of each of the layer's blobs."""

    tops: Sequence[Optional[Channels]]
    blobs: Sequence[Sequence[Scaled]] = ()


class Ties:
    """Labels, which of them must have one power, and which none but 2^0, with the reason. Label 0 is pinned."""

    def __init__(self) -> None:
        self._parents: List[int] = [0]
        self._reasons: Dict[int, str] = {0: "it comes from a layer that no power passes through"}

    def fresh(self, count: int) -> Labels:
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def tie(self, one: Labels, other: Labels) -> None:
        for a, b in {(self._root(int(a)), self._root(int(b))) for a, b in zip(one, other)}:
            a, b = self._root(a), self._root(b)
            self._parents[max(a, b)] = min(a, b)

    def pin(self, channels: Optional[Channels], reason: str) -> None:
        """The first reason counts."""
        for label in () if channels is None else np.unique(channels.labels).tolist():
            self._reasons.setdefault(label, reason)

    def solved(self) -> Tuple[np.ndarray, Mapping[int, str]]:
        """The label that stands for each, and why those of them that are pinned are."""
        roots = np.array([self._root(label) for label in range(len(self._parents))])
        reasons: Dict[int, str] = {}
        for label in sorted(self._reasons):
            reasons.setdefault(int(roots[label]), self._reasons[label])
        return roots, reasons

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label


class Setting(NamedTuple):
    """One layer: its parameter, the shapes around it, and the channels of its bottoms (None: all pinned)."""

    parameter: Any
    bottoms: Shapes
    tops: Shapes
    blobs: BlobShapes
    channels: Sequence[Optional[Channels]]
    ties: Ties


Homogeneous = Callable[[Setting], Optional[Moved]]


def _unchanged(setting: Setting) -> Moved:
    return Moved([setting.channels[0]] * len(setting.parameter.top))


def _dropout(setting: Setting) -> Optional[Moved]:
    return _unchanged(setting) if setting.parameter.phase == PHASES["TEST"] else None


def _power(setting: Setting) -> Optional[Moved]:
    settings = setting.parameter.power_param
    return _unchanged(setting) if settings.power == 1 and settings.shift == 0 else None


def _pooling(setting: Setting) -> Optional[Moved]:
    """MAX or AVE over the axes behind the channels; a second top holds places."""
    channels = setting.channels[0]
    if setting.parameter.pooling_param.pool > 1 or (channels is not None and channels.axis != 1):
        return None
    return Moved([channels, None][: len(setting.parameter.top)])


def _of_images(setting: Setting) -> Optional[Moved]:
    channels = setting.channels[0]
    return _unchanged(setting) if channels is None or channels.axis == 1 else None


def _crop(setting: Setting) -> Optional[Moved]:
    """Of the second bottom only the shape matters."""
    channels, shape = setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    return Moved([channels]) if channels.axis < axis_of(setting.parameter.crop_param.axis, len(shape)) else None


def _concat(setting: Setting) -> Optional[Moved]:
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
        # One label, 0, for as many channels as the text says: it is broadcast, not repeated.
        parts.append(np.broadcast_to(np.int64(0), (count or 0,)) if channels is None else channels.labels)
    if sum(part.size for part in parts) > MOST_CHANNELS:
        return None
    return Moved([Channels(axis, np.concatenate(parts))])


def _tied(setting: Setting) -> Optional[Moved]:
    """All bottoms get the same powers."""
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


def _eltwise(setting: Setting) -> Optional[Moved]:
    product = type(setting.parameter.eltwise_param).PROD
    return None if setting.parameter.eltwise_param.operation == product else _tied(setting)


def _slice(setting: Setting) -> Optional[Moved]:
    settings, channels, shape = setting.parameter.slice_param, setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    axis = axis_of(settings.slice_dim if settings.HasField("slice_dim") else settings.axis, len(shape))
    if axis != channels.axis:
        return _unchanged(setting)
    sizes = [None if top is None else top[axis] for top in setting.tops]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    return Moved([Channels(axis, part) for part in np.split(channels.labels, np.cumsum(known)[:-1])])


def _permute(setting: Setting) -> Optional[Moved]:
    channels, shape = setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    order = list(setting.parameter.permute_param.order)
    order += [axis for axis in range(len(shape)) if axis not in order]
    return Moved([Channels(order.index(channels.axis), channels.labels)])


def _shuffle_channel(setting: Setting) -> Optional[Moved]:
    channels = setting.channels[0]
    if channels is None or channels.axis != 1:
        return None
    rows = channels.labels.reshape(setting.parameter.shuffle_channel_param.group, -1)
    return Moved([Channels(1, rows.T.reshape(-1))])


def _flatten(setting: Setting) -> Optional[Moved]:
    settings, shape = setting.parameter.flatten_param, setting.bottoms[0]
    if shape is None:
        return None
    first, last = axis_of(settings.axis, len(shape)), axis_of(settings.end_axis, len(shape))
    if (size(shape[first : last + 1]) or 0) > MOST_CHANNELS:
        return None
    top = _flattened(setting, first, last)
    return None if top is None else Moved([top])


def _flattened(setting: Setting, first: int, last: int) -> Optional[Channels]:
    """The labels when the bottom's axes first .. last become one."""
    channels, shape = setting.channels[0], setting.bottoms[0]
    if channels is None or shape is None:
        return None
    if not first <= channels.axis <= last:
        return channels._replace(axis=channels.axis - (last - first) * (channels.axis > last))
    before, behind = shape[first : channels.axis], shape[channels.axis + 1 : last + 1]
    known = [dim for dim in (*before, *behind) if dim is not None]
    if len(known) < last - first:
        return None
    return Channels(first, np.tile(np.repeat(channels.labels, prod(known[len(before) :])), prod(known[: len(before)])))


def _inputs(setting: Setting, channels: Optional[Channels], axis: int, count: int) -> Labels:
    """The labels of the `count` inputs that the weights have along an axis; others are pinned."""
    if channels is not None and channels.axis == axis and channels.labels.size == count:
        return channels.labels
    setting.ties.pin(setting.channels[0], "a layer sums it up with other channels")
    return np.zeros(count, np.int64)


def _weighted(setting: Setting, axis: int, rows: Layout, columns: Layout, inputs: Labels) -> Moved:
    out = setting.ties.fresh(rows.channels)
    weights = [Scaled(rows, out), Scaled(columns, inputs, divided=True)]
    bias = [Scaled(Layout(1, 1, rows.channels, 1), out)]
    return Moved([Channels(axis, out)], [weights, bias][: len(setting.blobs)])


def _is_plain(setting: Setting, settings: Any) -> bool:
    """Whether there is one bottom, and the blobs that the parameter asks for."""
    return len(setting.channels) == 1 and len(setting.blobs) == 1 + settings.bias_term


def _convolution(setting: Setting, transposed: bool = False, depthwise: bool = False) -> Optional[Moved]:
    settings = setting.parameter.convolution_param
    if not _is_plain(setting, settings) or settings.axis < 0:
        return None
    first, second, kernel = setting.blobs[0][0], setting.blobs[0][1], prod(setting.blobs[0][2:])
    group = settings.num_output if depthwise else settings.group
    if transposed:
        rows, columns = Layout(group, first // group, second, kernel), Layout(1, 1, first, second * kernel)
    else:
        rows, columns = Layout(1, 1, first, second * kernel), Layout(group, first // group, second, kernel)
    inputs = _inputs(setting, setting.channels[0], settings.axis, columns.channels)
    return _weighted(setting, settings.axis, rows, columns, inputs)


def _inner_product(setting: Setting) -> Optional[Moved]:
    settings, shape = setting.parameter.inner_product_param, setting.bottoms[0]
    axis = known_axis(settings.axis, shape)
    if not _is_plain(setting, settings) or axis is None:
        return None
    first, second = setting.blobs[0][-2:]
    if settings.transpose:
        rows, columns = Layout(1, first, second, 1), Layout(1, 1, first, second)
    else:
        rows, columns = Layout(1, 1, first, second), Layout(1, first, second, 1)
    flat = None if shape is None else _flattened(setting, axis, len(shape) - 1)
    return _weighted(setting, axis, rows, columns, _inputs(setting, flat, axis, columns.channels))


def _scale(setting: Setting) -> Optional[Moved]:
    settings = setting.parameter.scale_param
    axis = _one_axis(setting, settings, 1 + settings.bias_term)
    if axis is None:
        return None
    rows = Layout(1, 1, setting.blobs[0][0], 1)
    return _weighted(setting, axis, rows, rows, _inputs(setting, setting.channels[0], axis, rows.channels))


def _bias(setting: Setting) -> Optional[Moved]:
    channels = setting.channels[0]
    axis = _one_axis(setting, setting.parameter.bias_param, 1)
    if channels is None or axis != channels.axis or setting.blobs[0] != channels.labels.shape:
        return None
    return Moved([channels], [[Scaled(Layout(1, 1, channels.labels.size, 1), channels.labels)]])


def _one_axis(setting: Setting, settings: Any, count: int) -> Optional[int]:
    """The axis of a Scale or Bias with one number for each index of it, and no second bottom."""
    if len(setting.channels) != 1 or len(setting.blobs) != count or len(setting.blobs[0]) != 1:
        return None
    return known_axis(settings.axis, setting.bottoms[0])


HOMOGENEOUS: Dict[str, Homogeneous] = {
    "AbsVal": _unchanged,
    "Bias": _bias,
    "Concat": _concat,
    "Convolution": _convolution,
    "ConvolutionDepthwise": partial(_convolution, depthwise=True),
    "Crop": _crop,
    "Deconvolution": partial(_convolution, transposed=True),
    "Dropout": _dropout,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "Interp": _of_images,
    "PReLU": _unchanged,
    "Permute": _permute,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _unchanged,
    "Scale": _scale,
    "ShuffleChannel": _shuffle_channel,
    "Slice": _slice,
    "Split": _unchanged,
}
