"""Runs of nets that advance together, blob by blob: a run computes no more than is asked of it, and keeps no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Collection, Dict, Iterator, Mapping, NamedTuple, Set, Tuple

from ..execution.forward import PRECISIONS, Unavailable, compute
from ..net.graph import Layer, Net, Value
from .agreement import largest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Inputs = Mapping[str, NDArray[Any]]


class Last(NamedTuple):
    """The last value of a blob. before: the largest magnitude of its values that a ReLU ended in it, else 0."""

    computed: Any  # an array, or Unavailable
    before: float


class Run:
    """The run of one net. Each wanted blob is taken once or skipped, in any order."""

    def __init__(self, net: Net, inputs: Inputs, precision: str, wanted: Collection[str]) -> None:
        self._values = last_values(net, inputs, precision, wanted)
        self._passed: Dict[str, Last] = {}
        self._skipped: Set[str] = set()

    def take(self, name: str) -> Last:
        """The last value of the blob; the net runs until that is computed."""
        while name not in self._passed:
            passed, value = next(self._values)
            if passed not in self._skipped:
                self._passed[passed] = value
        return self._passed.pop(name)

    def skip(self, name: str) -> None:
        """The blob will not be taken."""
        self._skipped.add(name)
        self._passed.pop(name, None)


def last_values(net: Net, inputs: Inputs, precision: str, wanted: Collection[str]) -> Iterator[Tuple[str, Last]]:
    """The last value of each wanted blob, as soon as it is computed."""
    last = {value.blob: value for layer in net.layers for value in net.tops(layer)}
    sizes: Dict[Value, float] = {}  # of values that a layer cuts
    for value, computed in compute(net, inputs, PRECISIONS[precision], wanted):
        layer = net.producer(value)
        before = 0.0
        if layer is not None and _cuts(layer):
            before = max(sizes[bottom] for bottom in net.bottoms(layer))
        if any(map(_cuts, net.consumers(value))):
            sizes[value] = before if isinstance(computed, Unavailable) else max(before, largest(computed))
        if value.blob in wanted and last.get(value.blob) == value:
            yield value.blob, Last(computed, before)


def _cuts(layer: Layer) -> bool:
    return layer.layer_type is not None and layer.layer_type.cuts
