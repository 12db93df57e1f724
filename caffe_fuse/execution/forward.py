"""Runs a net by the forward functions of its layers, in float32 as Caffe, in float64, or in half precision.

A value is freed after its last consumer. Layers that cannot be run are reported, with all that depends on them; the
rest of the net runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Collection,
    Dict,
    Iterator,
    List,
    Literal,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
    Union,
)

import numpy as np

from .. import progress
from ..argument_types import INTEGER, NAME, Kind, expect
from ..blobs.blob import Blob
from ..errors import InputError
from ..half.rounding import IEEE, HalfPolicy, rounded
from ..layers.layer_type import LayerType, Shape
from ..layers.shapes import require_possible, size, text
from ..net.graph import Layer, Net, Value
from ..wording import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Precision:
    """The precision that a net is run in.

    half: None for float32 and float64, in which everything is stored and computed. With a policy the inputs, the
    weights and the tops of every layer are rounded to fp16; inside a layer all is float32.
    block: for layers with weights, how many products are summed in float32 before they are added to a sum that is
    rounded to fp16 each time, as on a device that accumulates in fp16. The products are taken in the order of the
    weights: channels, then kernel positions. The bias comes last, in float32. A Deconvolution does so for the channels;
    its overlapping windows are added in float32. None: one sum in float32.
    """

    name: str
    dtype: Literal["float32", "float64"] = "float32"
    half: Optional[HalfPolicy] = None
    block: Optional[int] = None

    def __post_init__(self) -> None:
        expect(NAME, name=self.name, dtype=self.dtype)
        expect(Kind("a HalfPolicy", (HalfPolicy,)).or_none(), half=self.half)
        expect(INTEGER.or_none(), block=self.block)
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype {self.dtype!r} is neither float32 nor float64")

    def kept(self, array: Array) -> Array:
        """The array as it is stored in a blob."""
        return array if self.half is None else rounded(array, self.half)


PrecisionName = Literal["float32", "float64", "half"]
PRECISIONS = {
    precision.name: precision
    for precision in (Precision("float32"), Precision("float64", "float64"), Precision("half", half=IEEE))
}


class Unavailable(NamedTuple):
    """Why a value cannot be computed."""

    reason: str


Computed = Union["Array", Unavailable]


class Outcome(NamedTuple):
    """The result of a run: the last values of the wanted blobs, and the reasons why others of them are missing."""

    values: Dict[str, Array]
    unavailable: Dict[str, str]

    def put(self, name: str, computed: Computed) -> None:
        if isinstance(computed, Unavailable):
            self.values.pop(name, None)
            self.unavailable[name] = computed.reason
        else:
            self.unavailable.pop(name, None)
            self.values[name] = computed


def run_net(
    net: Net,
    inputs: Arrays,
    precision: Precision,
    wanted: Collection[str],
) -> Outcome:
    """The last values of the wanted blobs.

    Raises InputError where an input or the weights do not fit a layer.
    """
    outcome = Outcome({}, {})
    homes: Dict[str, Value] = {}
    written: Dict[Value, Computed] = {}  # by home, what an in-place layer wrote to shared memory
    for value, computed in compute(net, inputs, precision, wanted):
        if value.blob in wanted:
            outcome.put(value.blob, computed)
            homes[value.blob] = net.memory.homes.get(value, value)
        if value in net.memory.overwritten:
            written[net.memory.homes[value]] = computed
    for name, home in homes.items():
        if home in written and name in outcome.values:
            outcome.put(name, _seen_as(outcome.values[name], written[home]))
    return outcome


def compute(
    net: Net, inputs: Arrays, precision: Precision, wanted: Optional[Collection[str]] = None
) -> Iterator[Tuple[Value, Computed]]:
    """Yields each value once it is computed: the inputs, then the tops of each layer. Nothing is kept for the caller.

    wanted: only the layers that these blobs depend on are run; None: all. The arrays must not be modified.
    """
    needed = _needed(net, wanted)
    waiting: Dict[Value, int] = {}
    for layer in needed:
        for value in net.bottoms(layer):
            waiting[value] = waiting.get(value, 0) + 1
    alive: Dict[Value, Computed] = {}
    written: Dict[Value, Computed] = {}
    for name in net.inputs:
        yield from _keep([(Value(name, 0), _input(name, inputs, precision))], alive, waiting)
    for layer in progress.steps(needed, len(needed), "layer"):
        bottoms = [_now(net, value, alive[value], written) for value in net.bottoms(layer)]
        for value in net.bottoms(layer):
            waiting[value] -= 1
            if not waiting[value]:
                alive.pop(value)
        if is_source(layer):
            tops = [_input(name, inputs, precision) for name in layer.tops]
        else:
            tops = _run(layer, bottoms, precision, layer.index in net.sizes.doubts)
        del bottoms
        written.update(
            {net.memory.homes[top]: new for top, new in zip(net.tops(layer), tops) if top in net.memory.overwritten}
        )
        yield from _keep(zip(net.tops(layer), tops), alive, waiting)


def _now(net: Net, value: Value, computed: Computed, written: Mapping[Value, Computed]) -> Computed:
    """The content of a value when it is read."""
    home = net.memory.homes.get(value, value)
    return _seen_as(computed, written[home]) if home in written else computed


def _seen_as(before: Computed, changed: Computed) -> Computed:
    """The content of a blob after an in-place layer has changed its memory under another name (see memory.py)."""
    if isinstance(before, Unavailable) or isinstance(changed, Unavailable):
        return changed if isinstance(changed, Unavailable) else before
    return changed.reshape(before.shape)


def is_source(layer: Layer) -> bool:
    """Whether the layer's tops are inputs of the net: it has no bottoms and no forward function."""
    return not layer.bottoms and (layer.layer_type is None or layer.layer_type.forward is None)


def _keep(pairs: Any, alive: Dict[Value, Computed], waiting: Mapping[Value, int]) -> Iterator[Tuple[Value, Computed]]:
    for value, computed in pairs:
        if waiting.get(value):
            alive[value] = computed
        yield value, computed


def _needed(net: Net, wanted: Optional[Collection[str]]) -> List[Layer]:
    """The layers that the last values of the wanted blobs depend on, in the order of the net."""
    if wanted is None:
        return list(net.layers)
    last = {value.blob: value for layer in net.layers for value in net.tops(layer)}
    sought = {value for name, value in last.items() if name in wanted}
    homes = net.memory.homes
    memories = {homes.get(value, value) for value in sought}
    needed: List[Layer] = []
    for layer in reversed(net.layers):
        tops = net.tops(layer)
        changed = {homes[top] for top in tops if top in net.memory.overwritten}
        if sought.intersection(tops) or changed.intersection(memories):
            sought.update(net.bottoms(layer))
            memories.update(homes.get(value, value) for value in net.bottoms(layer))
            needed.append(layer)
    return needed[::-1]


def _input(name: str, inputs: Arrays, precision: Precision) -> Computed:
    if name not in inputs:
        return Unavailable(f"input {name} is not given, and neither is its shape (--input-shape {name}=1,3,224,224)")
    return precision.kept(np.ascontiguousarray(inputs[name], precision.dtype))


def _run(layer: Layer, bottoms: List[Computed], precision: Precision, in_doubt: bool) -> List[Computed]:
    """The tops of one layer. in_doubt: bottoms that do not fit make the tops unavailable and are not an error."""
    known: List[Array] = []
    for bottom in bottoms:
        if isinstance(bottom, Unavailable):
            return [bottom] * len(layer.tops)
        known.append(bottom)
    layer_type = layer.layer_type
    if layer_type is None or layer_type.forward is None:
        reason = "the type is not known" if layer_type is None else "the type cannot be run"
        return [Unavailable(f"layer {layer.name} ({layer.type}): {reason}")] * len(layer.tops)
    if layer_type.most is not None and len(known) > layer_type.most:
        reason = f"it has {len(known)} bottoms, but takes {layer_type.most}"
        return [Unavailable(f"layer {layer.name} ({layer.type}): {reason}")] * len(layer.tops)
    try:
        require_fitting(layer, layer_type, [bottom.shape for bottom in known])
    except InputError as error:
        if not in_doubt:
            raise
        return [Unavailable(error.what)] * len(layer.tops)
    try:
        tops = _tops(layer, layer_type, known, precision)
    except InputError as error:
        return [Unavailable(f"layer {layer.name} ({layer.type}): {error}")] * len(layer.tops)
    written = counted(len(tops), "top")
    missing = Unavailable(f"layer {layer.name} ({layer.type}): it writes {written}, not {len(layer.tops)}")
    return [*tops, *[missing] * (len(layer.tops) - len(tops))]


def _tops(layer: Layer, layer_type: LayerType, bottoms: List[Array], precision: Precision) -> List[Array]:
    blobs = [_values_of(blob, precision) for blob in layer.blobs]
    # Overflow is visible in the result.
    with np.errstate(all="ignore"):
        if layer_type.sums is not None and precision.block is not None:
            tops = layer_type.sums(layer.parameter, blobs, bottoms, partial(_blockwise, precision))
        elif layer_type.stored is not None and precision.half is not None:
            tops = layer_type.stored(layer.parameter, blobs, bottoms, precision.kept)
        else:
            assert layer_type.forward is not None
            tops = layer_type.forward(layer.parameter, blobs, bottoms)
    if layer_type.picks is not None and layer_type.picks(layer.parameter):
        return tops
    return [precision.kept(top) for top in tops]


@np.errstate(all="ignore")  # converting a signalling NaN sets the invalid flag
def _values_of(blob: Blob, precision: Precision) -> Array:
    values, done = np.empty(blob.count, precision.dtype), 0
    for chunk in blob.chunks():
        part = values[done : done + len(chunk)]
        part[...] = chunk
        if precision.half is not None:
            part[...] = rounded(part, precision.half)
        done += len(chunk)
    return values.reshape(blob.shape)


def _blockwise(precision: Precision, a: Array, b: Array, out: Optional[Array] = None) -> Array:
    """The matrix product of a device that accumulates in fp16: see `Precision.block`."""
    assert precision.block is not None
    total = np.zeros(1, precision.dtype)
    for first in range(0, a.shape[-1], precision.block):
        part = slice(first, first + precision.block)
        total = precision.kept(total + a[..., part] @ b[..., part, :])
    if out is not None:
        out[...] = total
    return total


def require_fitting(layer: Layer, layer_type: LayerType, shapes: List[Shape]) -> None:
    """Raises InputError if the layer, with the weights that it has, cannot take bottoms of these shapes."""
    try:
        for top in layer_type.shapes(layer.parameter, shapes, [blob.shape for blob in layer.blobs]):
            require_possible(top)
        expected = layer_type.blobs(layer.parameter, shapes) if layer_type.blobs is not None else ()
    except InputError as error:
        raise InputError(f"layer {layer.name} ({layer.type}): {error.what}", where=layer.where) from error
    for index, (dims, blob) in enumerate(zip(expected, layer.blobs)):
        if size(dims) != blob.count:
            raise InputError(
                f"blob {index} of layer {layer.name} ({layer.type}) is {text(blob.shape)}, but bottoms of "
                f"{', '.join(map(text, shapes))} need {text(dims)}",
                where=layer.where,
                remedy="give inputs of the shapes that the net was made for",
            )
