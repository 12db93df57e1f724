"""Weights that are missing in the weight file but defined in the text, by fillers that are not random.

Caffe fills the blobs of every layer, and accepts that the file has none for it (net.cpp:735-770). `constant` and
`bilinear` (filler.hpp) always yield the same values: if the text names one, they are what was meant, as for a
Deconvolution that upsamples. Default fillers are not used: a Convolution filled with zeros would mean that the files do
not belong together.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..blobs.blob import ArrayBlob, Blob
from ..layers.layer_type import Dims
from .graph import Layer, Net

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 1 << 24  # elements of a blob: a text can ask for any size at no cost


def filled(net: Net, needed: Sequence[Tuple[Layer, Sequence[Dims]]]) -> Tuple[Net, List[str]]:
    """The net with the missing blobs of these layers, as far as fillers define them, and a note on each layer."""
    changed: Dict[int, Layer] = {}
    notes: List[str] = []
    for layer, shapes in needed:
        blobs = None if layer.blobs or layer.record is not None else _blobs(layer, shapes)
        if blobs:
            changed[layer.index] = replace(layer, blobs=blobs)
            notes.append(
                f"{layer.where}: the weight file has no weights for {layer}; they come from its filler, as in Caffe"
            )
    return net.with_layers([changed.get(layer.index, layer) for layer in net.layers]) if changed else net, notes


def _blobs(layer: Layer, shapes: Sequence[Dims]) -> Optional[Tuple[Blob, ...]]:
    assert layer.layer_type is not None
    if not layer.layer_type.fillers:
        return None
    message, *names = layer.layer_type.fillers
    settings = getattr(layer.parameter, message)
    if not settings.HasField(names[0]):
        return None
    arrays = [_values(getattr(settings, name), shape) for name, shape in zip(names, shapes)]
    known = [ArrayBlob(array) for array in arrays if array is not None]
    return tuple(known) if len(known) == len(shapes) else None


def _values(filler: Any, dims: Dims) -> Optional[NDArray[np.float32]]:
    """The values of a filler, float32 in this shape; None for a random filler, or if a size is unknown."""
    shape = tuple(dim for dim in dims if dim is not None)
    if len(shape) < len(dims) or prod(shape) > LARGEST:
        return None
    if filler.type == "constant":
        return np.broadcast_to(np.float32(filler.value), shape)
    if filler.type == "bilinear" and len(shape) == 4 and shape[2] == shape[3]:
        return np.broadcast_to(_bilinear(shape[3]), shape)
    return None


def _bilinear(size: int) -> NDArray[np.float32]:
    """Caffe: filler.hpp BilinearFiller, in float32."""
    factor = np.float32(-(-size // 2))
    center = np.float32((size - 1) / (2.0 * factor))
    line = 1 - np.abs(np.arange(size, dtype=np.float32) / factor - center)
    kernel: NDArray[np.float32] = np.outer(line, line).astype(np.float32)
    return kernel
