"""Blobs that are one memory: a layer in place on one of them changes what is read of the others behind it.

Reshape, Flatten and Split do not copy: Caffe gives their tops the memory of their bottom (ShareData). In

    layer { name: "f" type: "Reshape" bottom: "x" top: "f" ... }
    layer { name: "r" type: "ReLU" bottom: "f" top: "f" }
    layer { name: "g" type: "Sigmoid" bottom: "x" top: "g" }

the Sigmoid reads what the ReLU has left in x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, AbstractSet, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

from ..wording import few

if TYPE_CHECKING:
    from .graph import Layer, Net, Value


class Memory(NamedTuple):
    """homes: by value, the one that stands for its memory. overwritten: the values whose writing changes other blobs.

    disturbed: each value that is read after such a change, with the layer that works in place. entangled: all values
    in the memory of one of those: the places of the layers that read and write them count.
    """

    homes: Mapping[Value, Value]
    overwritten: AbstractSet[Value]
    disturbed: Mapping[Value, Layer]
    entangled: AbstractSet[Value]

    def warnings(self, net: Net) -> List[str]:
        """One for each layer that works in place."""
        found: Dict[int, Tuple[Layer, List[Value]]] = {}
        for value, writer in self.disturbed.items():
            found.setdefault(writer.index, (writer, []))[1].append(value)
        return [
            f"{writer.where}: {writer} works in place on {few(writer.tops)}, another name of "
            f"{few(value.blob for value in values)}: what {few(_consumers_after(net, values, writer))} reads there "
            "is changed, as in Caffe"
            for writer, values in found.values()
        ]


def _consumers_after(net: Net, values: Sequence[Value], writer: Layer) -> Iterator[Layer]:
    return (consumer for value in values for consumer in net.consumers(value) if consumer.order > writer.order)


def memory_of(net: Net) -> Memory:
    """What layers in place change under other names, and who reads it there. One pass over the layers."""
    homes: Dict[Value, Value] = {}
    names: Dict[Value, Set[str]] = {}
    made: Dict[Value, int] = {}
    last: Dict[Value, Tuple[int, Value]] = {}
    overwritten: Set[Value] = set()
    disturbed: Dict[Value, Layer] = {}
    for number, layer in enumerate(net.layers):
        bottoms = net.bottoms(layer)
        for value in bottoms:
            place, writer = last.get(homes.get(value, value), (-1, value))
            if value.blob != writer.blob and made.get(value, -1) < place:
                disturbed.setdefault(value, net.wiring.producers[writer])
        for place, top in enumerate(net.tops(layer)):
            source = bottoms[0] if layer.shares_memory else bottoms[place] if top.version else top
            home = homes[top] = homes.setdefault(source, source)
            known = names.setdefault(home, {source.blob})
            known.add(top.blob)
            made[top] = number
            if top.version and not layer.shares_memory and not layer.is_identity and len(known) > 1:
                overwritten.add(top)
                last[home] = number, top
    places = {homes[value] for value in disturbed}
    return Memory(homes, overwritten, disturbed, {value for value, home in homes.items() if home in places})
