"""Removes layers that do nothing: identities, and those that only a Silence reads.

Before:
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" ... }
    layer { name: "d" type: "Dropout" bottom: "c" top: "d" }
    layer { name: "r" type: "ReLU" bottom: "d" top: "r" }
    layer { name: "p" type: "Pooling" bottom: "r" top: "p" ... }
    layer { name: "s" type: "Silence" bottom: "p" }
After:
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" ... }
    layer { name: "r" type: "ReLU" bottom: "c" top: "r" }
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Mapping, NamedTuple, Optional, Sequence

from ..layers.layer_type import Affine
from ..net.graph import Layer, Net, Value
from .chain import affine_of
from .rewrite import Pass, Progress, Removal, Vanished

IDENTITY, UNREAD = "it changes nothing", "no output needs it"


class Names(NamedTuple):
    """sources: of the tops of identities, the value that they copy. written: the new names of such values."""

    sources: Dict[Value, Value]
    written: Dict[Value, str]

    def of(self, value: Value) -> str:
        """The name of a value in the new net."""
        source = self.sources.get(value, value)
        return self.written.get(source, source.blob)


def simplify(progress: Progress) -> Progress:
    return _without_identities(_without_unread(progress))


def _without_unread(progress: Progress) -> Progress:
    """Removes the layers whose tops only a Silence reads, directly or through others like them, and the Silence.

    All stays of which a value would be left that nothing else reads: it would be an output of the net.
    """
    net = progress.net
    gone = {layer.index: layer for layer in net.layers if layer.name not in progress.kept and layer.bottoms}
    while True:
        for layer in reversed(net.layers):  # each after its consumers
            if layer.index in gone and _is_read(net, layer, gone):
                del gone[layer.index]
        exposing = [layer for layer in gone.values() if _exposes(net, layer, gone)]
        if not exposing:
            break
        for layer in exposing:
            del gone[layer.index]
    left = [layer for layer in net.layers if layer.index not in gone]
    return _with(progress, left, [Removal(layer, UNREAD, _gone(layer)) for layer in gone.values()])


def _is_read(net: Net, layer: Layer, gone: Mapping[int, Layer]) -> bool:
    """Whether a layer that stays reads one of its tops, or one is an output; a layer without tops does something."""
    if layer.layer_type is not None and layer.layer_type.discards:
        return False
    consumers = [net.consumers(value) for value in net.tops(layer)]
    return not (consumers and all(each and _all_in(each, gone) for each in consumers))


def _exposes(net: Net, layer: Layer, gone: Mapping[int, Layer]) -> bool:
    """Whether one of its bottoms is left, but none of those that read it."""
    left = [value for value in net.bottoms(layer) if _is_left(net.producer(value), gone)]
    return any(_all_in(net.consumers(value), gone) for value in left)


def _is_left(producer: Optional[Layer], gone: Mapping[int, Layer]) -> bool:
    """An input of the net has no producer, and is left."""
    return producer is None or producer.index not in gone


def _all_in(layers: Sequence[Layer], gone: Mapping[int, Layer]) -> bool:
    return all(layer.index in gone for layer in layers)


def _gone(layer: Layer) -> Vanished:
    return tuple((top, None) for top in layer.tops)


def _without_identities(progress: Progress) -> Progress:
    net, names = progress.net, Names({}, {})
    found = [layer for layer in net.layers if _copies(progress, layer) and _bypassed(progress, layer, names)]
    removals = [Removal(layer, IDENTITY, _renamed(net, layer, names)) for layer in found]
    gone = {layer.index for layer in found}
    layers = [
        layer.rewired(*([names.of(value) for value in values] for values in (net.bottoms(layer), net.tops(layer))))
        for layer in net.layers
        if layer.index not in gone
    ]
    return _with(progress, layers, removals)


def _copies(progress: Progress, layer: Layer) -> bool:
    """Whether each top of the layer is its bottom, with the same shape."""
    net = progress.net
    if layer.name in progress.kept or layer.not_understood or len(layer.bottoms) != 1:
        return False
    affine = affine_of(net, layer, progress.kept)
    if isinstance(affine, Affine):
        return affine.is_identity
    shape = net.shapes[net.bottoms(layer)[0]]
    known = shape is not None and None not in shape
    return layer.shares_memory and known and all(net.shapes[top] == shape for top in net.tops(layer))


def _bypassed(progress: Progress, layer: Layer, names: Names) -> bool:
    """Whether all that read its tops can read its bottom; then the names tell."""
    net = progress.net
    bottom, tops = net.bottoms(layer)[0], net.tops(layer)
    if layer.shares_memory and net.memory.is_overwritten(bottom):
        return False
    source = names.sources.get(bottom, bottom)
    other = [top for top in tops if top.blob != names.of(source)]
    outputs = [top for top in other if not net.consumers(top)]
    if any(consumer.name in progress.kept for top in other for consumer in net.consumers(top)):
        return False
    if outputs:
        if len(tops) > 1 or not _only_way(progress, bottom, names):
            return False
        names.written[source] = outputs[0].blob
    names.sources.update(dict.fromkeys(tops, source))
    return True


def _only_way(progress: Progress, value: Value, names: Names) -> bool:
    """Whether the layer that writes the value's source can write it under another name: no other layer reads it.

    A layer in place cannot: the blob would stay, with the value that it had before.
    """
    net = progress.net
    while len(net.consumers(value)) == 1:
        producer = net.producer(value)
        if producer is None or producer.name in progress.kept:
            return False
        if value not in names.sources:
            return value.version == 0
        value = net.bottoms(producer)[0]
    return False


def _renamed(net: Net, layer: Layer, names: Names) -> Vanished:
    """The blobs whose name no layer writes any more, with the one that holds the value."""
    values = [*net.tops(layer), names.sources[net.tops(layer)[0]]]
    return tuple((value.blob, names.of(value)) for value in values if value.blob != names.of(value))


def _with(progress: Progress, layers: Sequence[Layer], removals: Sequence[Removal]) -> Progress:
    if not removals:
        return progress
    return replace(progress, net=progress.net.with_layers(layers), removals=(*progress.removals, *removals))


SIMPLIFY = Pass("simplify", simplify)
