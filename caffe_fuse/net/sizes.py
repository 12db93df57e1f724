"""The shapes of a net's values, and which of them are in doubt.

A field that is not understood may change a size, and a type of another Caffe may differ from what is assumed. Such a
layer and all layers after it are in doubt: if sizes conflict there, they are unknown, with a warning that names the
cause. Elsewhere Caffe would refuse such a net, and so does this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Mapping, NamedTuple, Sequence, Tuple

from ..errors import InputError
from ..layers.shapes import MissingBottom, require_possible

if TYPE_CHECKING:
    from ..layers.layer_type import Shape
    from .graph import Layer, Net, Value


class Sizes(NamedTuple):
    """The sizes of a net.

    shapes: None for a value whose rank is unknown, too. doubts: by layer index, what its sizes depend on. conflicts:
    warnings, one for each doubt.
    """

    shapes: Mapping[Value, Shape]
    doubts: Mapping[int, str]
    conflicts: Tuple[str, ...]


def sizes_of(net: Net, inputs: Mapping[Value, Shape]) -> Sizes:
    """The sizes of a net. inputs: the shapes of its inputs. Raises InputError for a conflict that is not in doubt."""
    shapes: Dict[Value, Shape] = dict(inputs)
    doubts: Dict[int, str] = {}
    conflicts: Dict[str, str] = {}
    for layer in net.layers:
        bottoms = [shapes[value] for value in net.bottoms(layer)]
        producers = filter(None, map(net.producer, net.bottoms(layer)))
        inherited = (doubts[producer.index] for producer in producers if producer.index in doubts)
        doubt = layer.doubt or next(inherited, None)
        if doubt is not None:
            doubts[layer.index] = doubt
        try:
            tops = _top_shapes(layer, bottoms)
        except InputError as error:
            if doubt is None or isinstance(error, MissingBottom) or not _may_be_right(layer):
                raise
            tops = [None] * len(layer.tops)
            conflicts.setdefault(doubt, f"{error}; its sizes are unknown, because {doubt} may change them")
        for value, shape in zip(net.tops(layer), tops):
            shapes[value] = net.given_shapes.get(value.blob, shape) if not bottoms else shape
    return Sizes(shapes, doubts, tuple(conflicts.values()))


def _top_shapes(layer: Layer, bottoms: Sequence[Shape]) -> Sequence[Shape]:
    layer_type = layer.layer_type
    unknown: Sequence[Shape] = [None] * len(layer.tops)
    if layer_type is None:
        return unknown
    try:
        shapes = list(layer_type.shapes(layer.parameter, bottoms, [blob.shape for blob in layer.blobs]))
        for shape in shapes:
            require_possible(shape)
    except InputError as error:
        misread = f"; {layer.misspelt} is not known" if layer.misspelt else ""
        kind = type(error)
        raise kind(f"layer {layer.name} ({layer.type}): {error.what}{misread}", where=layer.where) from error
    return (shapes + list(unknown))[: len(layer.tops)]


def _may_be_right(layer: Layer) -> bool:
    """Whether the layer could be valid with other bottoms."""
    if layer.misspelt:
        return False
    try:
        _top_shapes(layer, [None] * len(layer.bottoms))
    except InputError:
        return layer.doubt is not None
    return True
