"""Blobs that share memory: an in-place layer on one of them changes the values of the others.

Reshape, Flatten and Split do not copy: Caffe gives their tops the memory of their bottom (ShareData). In

    layer { name: "f" type: "Reshape" bottom: "x" top: "f" ... }
    layer { name: "r" type: "ReLU" bottom: "f" top: "f" }
    layer { name: "g" type: "Sigmoid" bottom: "x" top: "g" }

the Sigmoid reads the output of the ReLU in x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, AbstractSet, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

from ..wording import few

if TYPE_CHECKING:
    from .graph import Layer, Net, Value


class Memory(NamedTuple):
    """The values that share memory.

    homes: by value, the value that represents its memory. overwritten: the values whose writing changes other blobs.
    disturbed: each value that is read after such a change, with the in-place layer. entangled: all values in the memory
    of a disturbed one, where the order of the layers that read and write them matters.
    """

    homes: Mapping[Value, Value]
    overwritten: AbstractSet[Value]
    disturbed: Mapping[Value, Layer]
    entangled: AbstractSet[Value]

    def is_overwritten(self, value: Value) -> bool:
        """Whether an in-place layer on another blob writes into the memory of this value."""
        home = self.homes.get(value, value)
        return any(self.homes[other] == home for other in self.overwritten)

    def warnings(self, net: Net) -> List[str]:
        """One warning for each in-place layer that disturbs values."""
        by_producer: Dict[int, Tuple[Layer, List[Value]]] = {}
        for value, producer in self.disturbed.items():
            by_producer.setdefault(producer.index, (producer, []))[1].append(value)
        return [
            f"{producer.where}: {producer} works in place on {few(producer.tops)}, which shares memory with "
            f"{few(value.blob for value in values)}: {few(_consumers_after(net, values, producer))} reads the changed "
            "values, as in Caffe"
            for producer, values in by_producer.values()
        ]


def _consumers_after(net: Net, values: Sequence[Value], producer: Layer) -> Iterator[Layer]:
    return (consumer for value in values for consumer in net.consumers(value) if consumer.order > producer.order)


def memory_of(net: Net) -> Memory:
    """The values that in-place layers change under other names, and their consumers. One pass over the layers."""
    homes: Dict[Value, Value] = {}
    names: Dict[Value, Set[str]] = {}
    made: Dict[Value, int] = {}
    last: Dict[Value, Tuple[int, Value]] = {}
    overwritten: Set[Value] = set()
    disturbed: Dict[Value, Layer] = {}
    for position, layer in enumerate(net.layers):
        bottoms = net.bottoms(layer)
        for value in bottoms:
            written_at, written = last.get(homes.get(value, value), (-1, value))
            if value.blob != written.blob and made.get(value, -1) < written_at:
                disturbed.setdefault(value, net.wiring.producers[written])
        for place, top in enumerate(net.tops(layer)):
            source = bottoms[0] if layer.shares_memory else bottoms[place] if top.version else top
            home = homes[top] = homes.setdefault(source, source)
            known = names.setdefault(home, {source.blob})
            known.add(top.blob)
            made[top] = position
            if top.version and not layer.shares_memory and not layer.is_identity and len(known) > 1:
                overwritten.add(top)
                last[home] = position, top
    shared = {homes[value] for value in disturbed}
    return Memory(homes, overwritten, disturbed, {value for value, home in homes.items() if home in shared})
