"""Layers that are, or can be, y = scale * x + shift along an axis: Scale, Bias, Power, Dropout; see also batch_norm/.

Scale:     y = gamma * x + beta
Bias:      y = x + beta
Power:     y = (shift + scale * x) ^ power
Dropout:   y = x, except in training
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, AbstractSet, Any, Callable, List, Optional, Sequence, Union

import numpy as np

from ..blobs.scaled import Layout
from ..errors import InputError
from ..schema.messages import PHASES
from .homogeneous import Moved, Scaled, Setting, inputs_of, unchanged, with_weights
from .layer_type import IDENTITY, Affine, BlobShapes, Dims, LayerType, Refusal, Shape, Shapes, single
from .ranges import Passage, Range, Ranges, elementwise, product_of, sum_of, unknown, zero_of_the_line
from .shapes import agreed, axis_of, blob_sizes, known_axis, like_bottom, one_for_each, require, text, unknown_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays

TEST = PHASES["TEST"]
AffineOf = Callable[[Any, "Arrays", Shapes], Union[Affine, Refusal]]


def _extent(settings: Any, bottom: Shape) -> Dims:
    """The axes of the bottom that the blob of a Scale or Bias covers (Caffe: scale_layer.cpp:19-34)."""
    if settings.num_axes < -1:
        raise InputError(f"num_axes {settings.num_axes} has to be -1 or more")
    if bottom is None or settings.num_axes == 0:
        return unknown_axes(abs(settings.num_axes))
    first = axis_of(settings.axis, len(bottom))
    end = len(bottom) if settings.num_axes == -1 else first + settings.num_axes
    if end > len(bottom):
        raise InputError(f"num_axes {settings.num_axes} from axis {first} on exceeds the {len(bottom)} axes")
    extent: Dims = bottom[first:end]
    return extent


def _scaled_shapes(settings: Any, bottoms: Shapes) -> Shapes:
    """The first bottom's shape; the second bottom has to be the part of it that begins at `axis`."""
    if len(bottoms) > 1 and bottoms[0] is not None and bottoms[1] is not None:
        first = axis_of(settings.axis, len(bottoms[0])) if bottoms[1] else 0
        agreed([bottoms[0][first : first + len(bottoms[1])], bottoms[1]])
    return [require(bottoms, 1)[0]]


def _scale_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    return _scaled_shapes(parameter.scale_param, bottoms)


def _bias_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    return _scaled_shapes(parameter.bias_param, bottoms)


def _scale_blobs(parameter: Any, bottoms: Shapes) -> Sequence[Dims]:
    """Caffe: scale_layer.cpp:44-69; the bias has the shape of the scale, even if that is a bottom."""
    settings = parameter.scale_param
    if len(bottoms) > 1:
        return [bottoms[1] or ()] * settings.bias_term
    return [_extent(settings, require(bottoms, 1)[0])] * (1 + settings.bias_term)


def _bias_blobs(parameter: Any, bottoms: Shapes) -> Sequence[Dims]:
    return [] if len(bottoms) > 1 else [_extent(parameter.bias_param, require(bottoms, 1)[0])]


def _channel_axis(settings: Any, blob: NDArray[Any], bottom: Shape) -> Union[int, Refusal]:
    """The single axis of the bottom along which a blob's values vary; axes of size 1 do not count."""
    long = [place - blob.ndim for place, dim in enumerate(blob.shape) if dim != 1]
    first = known_axis(settings.axis, bottom)
    if not long:
        covered = (None,) if bottom is None or first is None else bottom[first:]
        if any(dim != 1 for dim in covered[: settings.num_axes % 2**32]):  # -1: all
            return Refusal(f"it has one element, but its bottom, {text(bottom)}, may have more channels")
        return IDENTITY.axis
    if first is None or (bottom is None and settings.num_axes == -1):
        return Refusal("its axes count from the end, and the rank of its bottom is not known: see --input-shape")
    end = first + settings.num_axes if bottom is None or settings.num_axes != -1 else len(bottom)
    if len(long) > 1 or end + long[0] < first:
        return Refusal(f"its blob of shape {'x'.join(map(str, blob.shape))} covers more than one axis")
    return end + long[0]


def _channel_axis_of(settings_name: str, parameter: Any, bottom: Shape) -> Optional[int]:
    return known_axis(getattr(parameter, settings_name).axis, bottom)


def _scale_affine(parameter: Any, blobs: Arrays, bottoms: Shapes) -> Union[Affine, Refusal]:
    settings = parameter.scale_param
    refusal = _strange(settings, {"axis", "num_axes", "filler", "bias_term", "bias_filler"})
    return refusal or _covering(settings, blobs, bottoms, [True, False][: 1 + settings.bias_term])


def _bias_affine(parameter: Any, blobs: Arrays, bottoms: Shapes) -> Union[Affine, Refusal]:
    settings = parameter.bias_param
    return _strange(settings, {"axis", "num_axes", "filler"}) or _covering(settings, blobs, bottoms, [False])


def _covering(settings: Any, blobs: Arrays, bottoms: Shapes, multiplies: Sequence[bool]) -> Union[Affine, Refusal]:
    """The affine of a Scale or Bias. multiplies: for each blob, whether it is the scale or the shift."""
    if len(bottoms) != 1:
        return Refusal(f"its values come from another layer: it has {len(bottoms)} bottoms")
    sizes = [blob.size for blob in blobs]
    if len(blobs) != len(multiplies) or len(set(sizes)) != 1:
        return Refusal(f"it has {blob_sizes(sizes)}, expected {len(multiplies)} of one size")
    axis = _channel_axis(settings, blobs[0], bottoms[0])
    if isinstance(axis, Refusal):
        return axis
    scales = [blob for blob, is_scale in zip(blobs, multiplies) if is_scale]
    shifts = [blob for blob, is_scale in zip(blobs, multiplies) if not is_scale]
    scale, shift = (scales or [np.ones(1)])[0], (shifts or [np.zeros(1)])[0]
    for name, values in (("scale", scale), ("shift", shift)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            return Refusal(f"its {name} is {values.flat[bad[0]]:g} in channel {bad[0]}")
    return Affine(axis, scale, shift)


def _spread(settings: Any, values: NDArray[Any], bottom: NDArray[Any], own: bool) -> NDArray[Any]:
    """The values of a blob (own) or of a second bottom, in a shape that broadcasts to the bottom's."""
    extent = _extent(settings, bottom.shape) if own else values.shape
    first = axis_of(settings.axis, bottom.ndim) if extent else 0
    return values.astype(bottom.dtype, copy=False).reshape((*extent, *(1,) * (bottom.ndim - first - len(extent))))


def _scale_forward(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: scale_layer.cpp Forward_cpu."""
    settings, own = parameter.scale_param, len(bottoms) == 1
    scale = blobs[0] if own else bottoms[1]
    top = bottoms[0] * _spread(settings, scale, bottoms[0], own)
    if settings.bias_term:
        beta = blobs[-1].reshape(scale.shape)
        top = top + _spread(settings, beta, bottoms[0], own)
    return [top]


def _scale_homogeneous(setting: Setting) -> Optional[Moved]:
    settings = setting.parameter.scale_param
    axis = _one_axis(setting, settings, 1 + settings.bias_term)
    if axis is None:
        return None
    rows = Layout(1, 1, setting.blobs[0][0], 1)
    return with_weights(setting, axis, rows, rows, inputs_of(setting, setting.channels[0], axis, rows.channels))


def _scale_ranges(passage: Passage) -> List[Range]:
    others = _others(passage, passage.parameter.scale_param)
    return [sum_of([product_of(passage.ranges[0], others[0]), *others[1:]])] if others else unknown(passage)


def _bias_forward(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: bias_layer.cpp Forward_cpu."""
    own = len(bottoms) == 1
    added = blobs[0] if own else bottoms[1]
    return [bottoms[0] + _spread(parameter.bias_param, added, bottoms[0], own)]


def _bias_homogeneous(setting: Setting) -> Optional[Moved]:
    channels = setting.channels[0]
    axis = _one_axis(setting, setting.parameter.bias_param, 1)
    if channels is None or axis != channels.axis or setting.blobs[0] != channels.labels.shape:
        return None
    return Moved([channels], [[Scaled(Layout(1, 1, channels.labels.size, 1), channels.labels)]])


def _bias_ranges(passage: Passage) -> List[Range]:
    others = _others(passage, passage.parameter.bias_param)
    return [sum_of([passage.ranges[0], others[0]])] if others else unknown(passage)


def _others(passage: Passage, settings: Any) -> List[Range]:
    """The ranges of a Scale or Bias along several axes, or from another layer; none if they are not bounded.

    Those from another layer have one pair for each channel if they cover the first axes of the bottom.
    """
    blobs = [Range(blob.reshape(-1), blob.reshape(-1)).whole() for blob in passage.blobs if blob.size]
    others = [*passage.ranges[1:], *blobs]
    if not others or not all(blob.bounded for blob in blobs):
        return []
    if settings.axis != 0 or len(passage.ranges) == 1 or len(passage.bottoms[1] or ()) < 2:
        others[0] = others[0].whole()
    return others


def _one_axis(setting: Setting, settings: Any, count: int) -> Optional[int]:
    """The axis of a Scale or Bias that has one value for each index of it, and no second bottom."""
    if len(setting.channels) != 1 or len(setting.blobs) != count or len(setting.blobs[0]) != 1:
        return None
    return known_axis(settings.axis, setting.bottoms[0])


def _power_affine(parameter: Any, _blobs: Arrays, _bottoms: Shapes) -> Union[Affine, Refusal]:
    settings = parameter.power_param
    refusal = _strange(settings, {"power", "scale", "shift"})
    if refusal is not None:
        return refusal
    if settings.power != 1:
        return Refusal(f"its power is {settings.power:g}, but only a power of 1 is y = scale * x + shift")
    return Affine(1, np.array([single(settings.scale)]), np.array([single(settings.shift)]))


def _power_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    """Caffe: power_layer.cpp Forward_cpu; if power * scale is 0, the top does not depend on the bottom."""
    settings, kind = parameter.power_param, bottoms[0].dtype.type
    power, scale, shift = (kind(single(value)) for value in (settings.power, settings.scale, settings.shift))
    with np.errstate(all="ignore"):
        if power * scale == 0:
            return [np.full_like(bottoms[0], 1 if power == 0 else shift**power)]
        top = shift + scale * bottoms[0]
        return [top if power == 1 else top**power]


def _power_homogeneous(setting: Setting) -> Optional[Moved]:
    settings = setting.parameter.power_param
    return unchanged(setting) if settings.power == 1 and settings.shift == 0 else None


def _power_ranges(passage: Passage) -> List[Range]:
    """A negative power has a pole."""
    if passage.parameter.power_param.power < 0:
        return unknown(passage)
    return elementwise(_power_forward, lambda parameter: zero_of_the_line(parameter.power_param), passage)


def _dropout_affine(parameter: Any, _blobs: Arrays, _bottoms: Shapes) -> Union[Affine, Refusal]:
    """Caffe: dropout_layer.cpp Forward_cpu."""
    if parameter.phase != TEST:
        return Refusal("Dropout drops in the TRAIN phase")
    return _strange(parameter.dropout_param, {"dropout_ratio"}) or IDENTITY


def _dropout_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[NDArray[Any]]:
    if parameter.phase != TEST:
        raise InputError("Dropout is random in the TRAIN phase", remedy="use --phase TEST")
    return [bottoms[0]]


def _dropout_homogeneous(setting: Setting) -> Optional[Moved]:
    return unchanged(setting) if setting.parameter.phase == TEST else None


def _affine_ranges(affine_of: AffineOf, otherwise: Ranges, passage: Passage) -> List[Range]:
    """scale * x + shift."""
    affine = affine_of(passage.parameter, passage.blobs, passage.bottoms)
    if not isinstance(affine, Affine):
        return otherwise(passage)
    x = passage.ranges[0]
    scale, shift = Range(affine.scale, affine.scale), Range(affine.shift, affine.shift)
    if affine.channels > 1 and affine.axis != 1:
        return [sum_of([product_of(x.whole(), scale), shift]).whole()]
    return [sum_of([product_of(x, scale), shift])]


def _strange(settings: Any, understood: AbstractSet[str]) -> Optional[Refusal]:
    """A refusal if any other field is set: it may change what the layer does."""
    for field, _ in settings.ListFields():
        if field.name not in understood:
            return Refusal(f"{field.name} is set in its {settings.DESCRIPTOR.name}, and may change what it does")
    return None


LAYER_TYPES = (
    LayerType(
        "Scale",
        _scale_shapes,
        _scale_blobs,
        _scale_affine,
        forward=_scale_forward,
        homogeneous=_scale_homogeneous,
        ranges=partial(_affine_ranges, _scale_affine, _scale_ranges),
        fillers=("scale_param", "filler", "bias_filler"),
        channel_axis=partial(_channel_axis_of, "scale_param"),
        scales=True,
        multiply_adds=one_for_each,
    ),
    LayerType(
        "Bias",
        _bias_shapes,
        _bias_blobs,
        _bias_affine,
        forward=_bias_forward,
        homogeneous=_bias_homogeneous,
        ranges=partial(_affine_ranges, _bias_affine, _bias_ranges),
        fillers=("bias_param", "filler"),
        channel_axis=partial(_channel_axis_of, "bias_param"),
        multiply_adds=one_for_each,
    ),
    LayerType(
        "Power",
        like_bottom,
        affine=_power_affine,
        forward=_power_forward,
        homogeneous=_power_homogeneous,
        ranges=partial(_affine_ranges, _power_affine, _power_ranges),
        multiply_adds=one_for_each,
    ),
    LayerType(
        "Dropout",
        like_bottom,
        affine=_dropout_affine,
        forward=_dropout_forward,
        homogeneous=_dropout_homogeneous,
        ranges=partial(_affine_ranges, _dropout_affine, unknown),
        keeps=True,
    ),
)
