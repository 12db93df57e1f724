"""What the layers with weights have in common: their LayerType, and how they absorb an affine.

For each output channel o, s[o] * (sum(w[o] * x) + b[o]) + t[o] is again such a layer, with the weights
s[o] * w[o] and the bias s[o] * b[o] + t[o]. The types differ in the weights that belong to o.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..blobs.blob import FLOAT32, ArrayBlob, Blob
from ..blobs.scaled import Layout, ScaledBlob, Scaling
from ..errors import InputError
from ..wording import counted
from .homogeneous import Moved, Setting
from .layer_type import (
    Absorbed,
    Absorber,
    Affine,
    BlobShapes,
    Dims,
    Inflow,
    LayerType,
    Random,
    Refusal,
    Shape,
    Shapes,
)
from .shapes import known_axis
from .sliding import matmul

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unfit(shape: Sequence[int], outputs: int) -> InputError:
    return InputError(
        f"weights of shape {'x'.join(map(str, shape)) or '()'} do not fit num_output {outputs}",
        remedy="check that the prototxt and the weights belong together",
    )


def sample(channels: int, owned: int, count: int, rng: Random) -> NDArray[np.int64]:
    """Indices below `owned`, (channels, min(count, owned)): for each channel one from each of equal parts."""
    edges = np.arange(min(count, owned) + 1, dtype=np.int64) * owned // min(count, owned)
    steps = rng.random((channels, 1)) * np.diff(edges)
    return np.asarray(edges[:-1] + steps.astype(np.int64), dtype=np.int64)


def is_plain(setting: Setting, settings: Any) -> bool:
    """Whether there is one bottom, and as many blobs as the parameter requires."""
    return len(setting.channels) == 1 and len(setting.blobs) == 1 + settings.bias_term


def _absorb(
    settings_name: str,
    layout: Callable[[Any, Sequence[int]], Layout],
    parameter: Any,
    blobs: Sequence[Blob],
    affine: Affine,
    inflow: Optional[Inflow],
) -> Union[Absorbed, Refusal]:
    """As Absorber.absorb, in float64, each weight and bias rounded once to float32."""
    settings = getattr(parameter, settings_name)
    channels = settings.num_output
    if len(blobs) != 1 + settings.bias_term:
        return Refusal(f"it has {counted(len(blobs), 'blob')}, but bias_term requires {1 + settings.bias_term}")
    if affine.channels not in (1, channels):
        return Refusal(f"{affine.channels} channels after it do not fit its {channels}")
    try:
        placed = layout(parameter, blobs[0].shape)
    except InputError as error:
        return Refusal(error.what)
    scale = np.broadcast_to(affine.scale, (channels,))
    with np.errstate(invalid="ignore"):  # a signalling NaN
        bias = blobs[1].array().astype(np.float64) if settings.bias_term else np.zeros(channels)
    if bias.size != channels:
        return Refusal(f"it has a bias of {bias.size} elements for {channels} channels")
    with np.errstate(over="ignore", invalid="ignore"):
        inner = bias.reshape(-1) if inflow is None else bias.reshape(-1) + _shifts(blobs[0], placed, inflow)
        new_bias = inner * scale + affine.shift
    refusal = _not_finite(scale, affine.shift, new_bias)
    if refusal is not None:
        return refusal
    changed = type(parameter)()
    changed.CopyFrom(parameter)
    if not settings.bias_term:
        getattr(changed, settings_name).bias_term = True
    new_blob = ArrayBlob(new_bias.reshape(bias.shape), FLOAT32)
    further = () if inflow is None else (Scaling(inflow.layout, inflow.scale),)
    return Absorbed(changed, (ScaledBlob(blobs[0], placed, scale, further=further), new_blob))


def _shifts(weights: Blob, placed: Layout, inflow: Inflow) -> NDArray[np.float64]:
    """sum(weights * inflow.shift) of each output channel; reads the weights where there is a shift."""
    sums = np.zeros(placed.channels)
    first = 0
    for chunk in weights.chunks() if inflow.shift.any() else ():
        places = np.arange(first, first + len(chunk))
        terms = chunk.astype(np.float64) * inflow.shift[inflow.layout.channel(places)]
        sums += np.bincount(placed.channel(places), terms, placed.channels)
        first += len(chunk)
    return sums


def spread(affine: Affine, layout: Layout, axis: Optional[int], repeated: int = 1) -> Union[Inflow, Refusal]:
    """The affine of a bottom, whose channels are on `axis`, for each input; a channel is `repeated` inputs."""
    count = layout.channels
    if affine.channels == 1:
        return Inflow(layout, *(np.broadcast_to(values, (count,)) for values in (affine.scale, affine.shift)))
    if affine.axis != axis:
        return Refusal(f"its inputs are not on axis {affine.axis}")
    if affine.channels * repeated != count:
        return Refusal(f"it has {count} inputs for {affine.channels} channels")
    return Inflow(layout, np.repeat(affine.scale, repeated), np.repeat(affine.shift, repeated))


def _not_finite(scale: NDArray[np.float64], shift: NDArray[np.float64], bias: NDArray[np.float64]) -> Optional[Refusal]:
    for name, values in (("scale", scale), ("shift", shift), ("new bias", bias)):
        with np.errstate(over="ignore"):
            bad = np.flatnonzero(~np.isfinite(values.astype(np.float32)))
        if bad.size:
            return Refusal(f"the {name} of channel {bad[0]}, {values[bad[0]]:g}, is not a finite float32")
    return None


def _channel_axis(settings_name: str, parameter: Any, bottom: Shape) -> Optional[int]:
    return known_axis(getattr(parameter, settings_name).axis, bottom)


def absorber(
    settings_name: str,
    layout: Callable[[Any, Sequence[int]], Layout],
    sampled_weights: Callable[[Any, Sequence[int], int, Random], NDArray[np.int64]],
    inputs: Callable[[Any, Sequence[int], NDArray[np.int64]], NDArray[np.int64]],
    outputs: Callable[[Any, Sequence[int], NDArray[np.int64]], NDArray[np.int64]],
    inflow: Callable[[Any, Sequence[int], Affine, Shape], Union[Inflow, Refusal]],
    inputs_shape: Callable[[Any, Sequence[int], Shape], Tuple[int, ...]],
    least: Callable[[Any, Dims], Optional[Dims]],
    has_space: bool,
) -> Absorber:
    return Absorber(
        channels=lambda parameter: int(getattr(parameter, settings_name).num_output),
        layout=layout,
        has_bias=lambda parameter: bool(getattr(parameter, settings_name).bias_term),
        absorb=partial(_absorb, settings_name, layout),
        sampled_weights=sampled_weights,
        inputs=inputs,
        outputs=outputs,
        inflow=inflow,
        inputs_shape=inputs_shape,
        least=least,
        has_space=has_space,
    )


def layer_type_of(
    name: str,
    shapes: Callable[[Any, Shapes, BlobShapes], Shapes],
    blobs: Callable[[Any, Shapes], Sequence[Dims]],
    absorb: Absorber,
    sums: Callable[..., List[NDArray[Any]]],
    homogeneous: Callable[[Setting], Optional[Moved]],
    settings_name: str = "convolution_param",
    **others: Any,
) -> LayerType:
    forward = partial(sums, product=matmul)
    fillers = (settings_name, "weight_filler", "bias_filler")
    facets = LayerType(name, shapes, blobs, absorb=absorb, forward=forward, sums=sums, homogeneous=homogeneous)
    return facets._replace(fillers=fillers, channel_axis=partial(_channel_axis, settings_name), **others)
