"""What the layers with weights have in common: their LayerType, and how they absorb an affine.

For each output channel o, s[o] * (sum(w[o] * x) + b[o]) + t[o] is again such a layer, with the weights
s[o] * w[o] and the bias s[o] * b[o] + t[o]. The types differ in the weights that belong to o.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Union

import numpy as np

from ..blobs.blob import FLOAT32, ArrayBlob, Blob
from ..blobs.scaled import Layout, ScaledBlob
from ..errors import InputError
from ..wording import counted
from .homogeneous import Moved, Setting
from .layer_type import (
    Absorbed,
    Absorber,
    Affine,
    BlobShapes,
    Dims,
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
) -> Union[Absorbed, Refusal]:
    """weights * scale and bias * scale + shift, in float64, each rounded once to float32."""
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
        new_bias = bias.reshape(-1) * scale + affine.shift
    refusal = _not_finite(scale, affine.shift, new_bias)
    if refusal is not None:
        return refusal
    changed = type(parameter)()
    changed.CopyFrom(parameter)
    if not settings.bias_term:
        getattr(changed, settings_name).bias_term = True
    new_blob = ArrayBlob(new_bias.reshape(bias.shape), FLOAT32)
    return Absorbed(changed, (ScaledBlob(blobs[0], placed, scale), new_blob))


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
