"""Layers of another phase that a fold makes meaningless.

They use a blob whose value inside the chain is gone, or have the name, and so the weights, of a layer that is gone.
"""

from __future__ import annotations

from typing import List, Sequence, Set, Tuple

from ..net.graph import Layer, Net, Value
from ..passes import Progress


def dropped_layers(source: Net, excluded: Sequence[Layer], progress: Progress) -> Tuple[Layer, ...]:
    """The excluded layers that read a value inside a rewritten chain, write a blob of it, or are twins of a member."""
    rewrites, moves = progress.rewrites, progress.moves
    layers = [layer for rewrite in rewrites for layer in rewrite.before[:-1]]
    layers += [layer for move in moves for layer in move.through]
    layers += [link.layer for move in moves for chain in move.chains for link in chain[:-1]]
    inner: Set[Value] = {value for layer in layers for value in source.tops(layer)}
    inner |= _renamed(source, progress)
    names = {value.blob for value in inner}
    gone = {layer.name for rewrite in rewrites for layer in rewrite.before}
    gone |= {layer.name for move in moves for layer in move.chain}
    gone |= {removal.layer.name for removal in progress.removals}
    gone -= {rewrite.after.name for rewrite in rewrites}
    found: List[Layer] = []
    for layer in excluded:
        reads = any(_value_at(source, name, layer.index) in inner for name in layer.bottoms)
        writes = any(name in names and name not in layer.bottoms for name in layer.tops)
        if reads or writes or layer.name in gone:
            found.append(layer)
    return tuple(found)


def _renamed(source: Net, progress: Progress) -> Set[Value]:
    """The values of the names that went with layers that did nothing."""
    names = {name for removal in progress.removals for name, _ in removal.vanished}
    return {value for layer in source.layers for value in source.tops(layer) if value.blob in names}


def _value_at(net: Net, name: str, index: int) -> Value:
    """The value that `name` has at the layer of this index in the text: its newest version before it."""
    version = -1
    for layer in net.layers:
        if layer.index >= index:
            break
        version = max([version, *(value.version for value in net.tops(layer) if value.blob == name)])
    return Value(name, version)
