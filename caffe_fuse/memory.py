"""Blobs that are one memory: a layer in place on one of them changes what is read of the others behind it.

Reshape, Flatten and Split do not copy: Caffe gives their tops the memory of their bottom (ShareData). In

    layer { name: "f" type: "Reshape" bottom: "x" top: "f" ... }
    layer { name: "r" type: "ReLU" bottom: "f" top: "f" }
    layer { name: "g" type: "Sigmoid" bottom: "x" top: "g" }

the Sigmoid reads what the ReLU has left in x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, AbstractSet, Dict, List, Mapping, NamedTuple, Tuple

if TYPE_CHECKING:
    from .net import Layer, Net, Value


class Memory(NamedTuple):
    """overwritten: by a value that is written in place, the values of other blobs that this changes.

    disturbed: each value that is read after such a change, with the layer that works in place. entangled: all values
    in the memory of one of those: the places of the layers that read and write them count.
    """

    overwritten: Mapping[Value, Tuple[Value, ...]]
    disturbed: Mapping[Value, Layer]
    entangled: AbstractSet[Value]

    def warnings(self, net: Net) -> List[str]:
        return [
            f"{writer.where}: {writer} works in place on {', '.join(writer.tops)}, which is {value.blob} under another "
            f"name: {reader} reads {value.blob} behind it and gets the changed numbers, as in Caffe"
            for value, writer in self.disturbed.items()
            for reader in net.readers(value)
            if reader.order > writer.order
        ]


def memory_of(net: Net) -> Memory:
    homes: Dict[Value, Value] = {}
    held: Dict[Value, Dict[str, Value]] = {}
    overwritten: Dict[Value, Tuple[Value, ...]] = {}
    for layer in net.layers:
        bottoms = net.bottoms(layer)
        for place, top in enumerate(net.tops(layer)):
            in_place = top.version > 0
            source = bottoms[0] if layer.shares_memory else bottoms[place] if in_place else top
            home = homes[top] = homes.setdefault(source, source)
            values = held.setdefault(home, {source.blob: source})
            if in_place and not layer.shares_memory and not layer.is_identity:
                overwritten[top] = tuple(value for name, value in values.items() if name != top.blob)
            values[top.blob] = top
    disturbed: Dict[Value, Layer] = {}
    for top, others in overwritten.items():
        writer = net.wiring.producers[top]
        for value in others:
            if any(reader.order > writer.order for reader in net.readers(value)):
                disturbed.setdefault(value, writer)
    places = {homes[value] for value in disturbed}
    return Memory(overwritten, disturbed, {value for value, home in homes.items() if home in places})
