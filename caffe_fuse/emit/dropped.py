"""Layers of another phase that a fold leaves without sense: they touch a blob whose value inside the chain is gone."""

from __future__ import annotations

from typing import List, Sequence, Set, Tuple

from ..net import Layer, Net, Value
from ..passes import Rewrite


def dropped_layers(source: Net, excluded: Sequence[Layer], rewrites: Sequence[Rewrite]) -> Tuple[Layer, ...]:
    """The excluded layers that read a value inside a rewritten chain, or write one of its blobs."""
    inner: Set[Value] = {value for rewrite in rewrites for layer in rewrite.before[:-1] for value in source.tops(layer)}
    names = {value.blob for value in inner}
    found: List[Layer] = []
    for layer in excluded:
        reads = any(_value_at(source, name, layer.index) in inner for name in layer.bottoms)
        writes = any(name in names and name not in layer.bottoms for name in layer.tops)
        if reads or writes:
            found.append(layer)
    return tuple(found)


def _value_at(net: Net, name: str, index: int) -> Value:
    """What `name` means at a place in the text: the newest version that stands before it."""
    version = -1
    for layer in net.layers:
        if layer.index >= index:
            break
        version = max([version, *(value.version for value in net.tops(layer) if value.blob == name)])
    return Value(name, version)
