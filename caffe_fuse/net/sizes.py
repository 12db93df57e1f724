"""The shapes of a net's values, and which of them are in doubt.

What a field that is not read does to a size nobody knows, nor whether a type of another Caffe does what we think. Such
a layer and all behind it are in doubt: where sizes do not agree there, they are unknown, with a warning that names what
it began with. Elsewhere Caffe would refuse such a net, and so do we.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Mapping, NamedTuple, Sequence, Tuple

from ..errors import InputError
from ..layers.shapes import MissingBottom, require_possible

if TYPE_CHECKING:
    from ..layers.layer_type import Shape
    from .graph import Layer, Net, Value


class Sizes(NamedTuple):
    """shapes: None for a value of which not even the rank is known. doubts: by layer index, what its sizes depend on.

    conflicts: warnings, one for each doubt.
    """

    shapes: Mapping[Value, Shape]
    doubts: Mapping[int, str]
    conflicts: Tuple[str, ...]


def sizes_of(net: Net, inputs: Mapping[Value, Shape]) -> Sizes:
    """inputs: the shapes of the net's own. Raises InputError where sizes do not agree, and nothing is in doubt."""
    shapes: Dict[Value, Shape] = dict(inputs)
    doubts: Dict[int, str] = {}
    conflicts: Dict[str, str] = {}
    for layer in net.layers:
        bottoms = [shapes[value] for value in net.bottoms(layer)]
        makers = [net.producer(value) for value in net.bottoms(layer)]
        inherited = (doubts[maker.index] for maker in makers if maker is not None and maker.index in doubts)
        doubt = layer.doubt or next(inherited, None)
        if doubt is not None:
            doubts[layer.index] = doubt
        try:
            tops = _top_shapes(layer, bottoms)
        except InputError as error:
            if doubt is None or isinstance(error, MissingBottom) or not _may_be_right(layer):
                raise
            tops = [None] * len(layer.tops)
            conflicts.setdefault(doubt, f"{error}; its sizes are unknown, for {doubt} may change them")
        for value, shape in zip(net.tops(layer), tops):
            shapes[value] = net.given_shapes.get(value.blob, shape) if not bottoms else shape
    return Sizes(shapes, doubts, tuple(conflicts.values()))


def _top_shapes(layer: Layer, bottoms: Sequence[Shape]) -> Sequence[Shape]:
    layer_type = layer.layer_type
    unknown: Sequence[Shape] = [None] * len(layer.tops)
    if layer_type is None:
        return unknown
    try:
        found = list(layer_type.shapes(layer.parameter, bottoms, [blob.shape for blob in layer.blobs]))
        for shape in found:
            require_possible(shape)
    except InputError as error:
        misread = f"; {layer.misspelt} is not known" if layer.misspelt else ""
        kind = type(error)
        raise kind(f"layer {layer.name} ({layer.type}): {error.what}{misread}", where=layer.where) from error
    return (found + list(unknown))[: len(layer.tops)]


def _may_be_right(layer: Layer) -> bool:
    """Whether the layer could stand, whatever it reads."""
    if layer.misspelt:
        return False
    try:
        _top_shapes(layer, [None] * len(layer.bottoms))
    except InputError:
        return layer.doubt is not None
    return True
