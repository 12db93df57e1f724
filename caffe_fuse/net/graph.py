"""The net as a graph: layers, the blobs between them, and their producers and consumers.

A blob's name is not a value: an in-place layer writes a new value under an old name. So each write of a name makes
a new version of it, `conv1@0`, `conv1@1`, and a bottom means the newest version before it in the text
(Caffe: insert_splits.cpp:39, blob_name_to_last_top_idx).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .. import generations, layers
from ..blobs.blob import Blob, StoredBlob
from ..errors import InputError, InternalError
from ..layers import batch_norm
from ..layers.layer_type import Affine, LayerType, Shape
from ..protobuf.text import Field, Message
from ..schema.messages import Unknown, copy_of
from ..spelling import hint
from ..weights.records import LayerRecord
from .memory import Memory, memory_of
from .sizes import Sizes, sizes_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Value(NamedTuple):
    """One version of a blob."""

    blob: str
    version: int

    def __str__(self) -> str:
        return f"{self.blob}@{self.version}"


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer. `parameter` is a LayerParameter that must not be changed; a rewritten layer is a new Layer."""

    index: int  # its position in the prototxt, which no rewriting changes; negative for a new layer
    parameter: Any
    unknown: Tuple[Unknown, ...]
    field: Field
    where: str  # FILE:LINE:COL
    line: int
    blobs: Tuple[Blob, ...] = ()
    record: Optional[LayerRecord] = None
    origin: Tuple[Layer, ...] = ()  # of a new layer: the layers that it stands for
    reading: Optional[LayerType] = None  # the layer type in the dialect of the files, if that is not the default

    @cached_property
    def name(self) -> str:
        return str(self.parameter.name)

    @cached_property
    def type(self) -> str:
        return str(self.parameter.type)

    @property
    def kind(self) -> str:
        """The canonical name of the type: a CuDNNReLU is a ReLU. An unknown type is returned as it is."""
        return self.type if self.layer_type is None else self.layer_type.name

    @property
    def is_batch_norm(self) -> bool:
        """Whether it is a BatchNorm, under any name of the type."""
        return self.kind in batch_norm.TYPES

    @cached_property
    def bottoms(self) -> Tuple[str, ...]:
        return tuple(self.parameter.bottom)

    @cached_property
    def tops(self) -> Tuple[str, ...]:
        return tuple(self.parameter.top)

    @cached_property
    def layer_type(self) -> Optional[LayerType]:
        return layers.find(self.type) if self.reading is None else self.reading

    @property
    def node(self) -> Message:
        node = self.field.values[0]
        assert isinstance(node, Message)
        return node

    @cached_property
    def generation(self) -> str:
        """The generation of the layer in the text: `generations.V0`, V1 or V2."""
        return generations.of(self.node, self.field.name)

    @property
    def shares_memory(self) -> bool:
        """Whether its tops are its first bottom under another name or shape."""
        shares = None if self.layer_type is None or not self.bottoms else self.layer_type.shares
        return shares is not None and shares(self.parameter)

    @property
    def is_identity(self) -> bool:
        """Whether the layer has no blobs and copies every element of any bottom unchanged."""
        if self.layer_type is None or self.layer_type.affine is None or self.blobs:
            return False
        affine = self.layer_type.affine(self.parameter, (), (None,))
        return isinstance(affine, Affine) and affine.is_identity

    @property
    def not_understood(self) -> Optional[str]:
        """A field of the parameters or blobs that is not understood and may matter, such as a quantization."""
        inside = [unknown for unknown in self.unknown if "." in unknown.path]
        if inside:
            return f"field {inside[0].path}{hint(inside[0].meant)}"
        for place, blob in enumerate(self.blobs):
            if isinstance(blob, StoredBlob) and blob.unknown:
                return f"field {blob.unknown[0]} of blob {place}"
        return None

    @property
    def misspelt(self) -> Optional[str]:
        """A field whose name resembles a known one: Caffe cannot read such a net."""
        misspelt = [unknown for unknown in self.unknown if unknown.meant]
        return f"field {misspelt[0].path}{hint(misspelt[0].meant)}" if misspelt else None

    @property
    def doubt(self) -> Optional[str]:
        """Why its sizes may differ from those computed, if they may."""
        if any("." in unknown.path for unknown in self.unknown):
            return f"{self.not_understood} of {self} in line {self.line}"
        if self.layer_type is not None and self.layer_type.foreign:
            return f"{self} in line {self.line}, a type that BVLC Caffe does not have,"
        return None

    @classmethod
    def new_after(cls, layer: Layer, parameter: Any) -> Layer:
        """A layer that is not in the files, directly after one that is."""
        return cls(-1 - layer.index, parameter, (), layer.field, layer.where, layer.line)

    @property
    def follows(self) -> Optional[int]:
        """The index of the layer that a new layer follows; None for layers of the files."""
        return -1 - self.index if self.index < 0 else None

    @property
    def order(self) -> Tuple[int, int]:
        """A sort key for the layer's position in the net: a new layer comes after that of the files."""
        return (self.index, 0) if self.follows is None else (self.follows, 1)

    def run(self, bottoms: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """The tops of a layer that has a forward function, on bottoms that fit it, in their type."""
        assert self.layer_type is not None
        assert self.layer_type.forward is not None
        blobs = [blob.array().astype(bottoms[0].dtype, copy=False) for blob in self.blobs]
        return self.layer_type.forward(self.parameter, blobs, bottoms)

    def rewritten(self, parameter: Any, blobs: Tuple[Blob, ...]) -> Layer:
        reading = self.reading if parameter.type == self.type else None
        return replace(self, parameter=parameter, blobs=blobs, reading=reading)

    def rewired(self, bottoms: Sequence[str], tops: Sequence[str]) -> Layer:
        """The layer with other names of its blobs; itself if they are the same."""
        if (tuple(bottoms), tuple(tops)) == (self.bottoms, self.tops):
            return self
        parameter = copy_of(self.parameter)
        for field, names in ((parameter.bottom, bottoms), (parameter.top, tops)):
            del field[:]
            field.extend(names)
        return self.rewritten(parameter, self.blobs)

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


class Wiring(NamedTuple):
    """The values that each layer reads and writes, by layer index, and the producers and consumers of each value."""

    bottoms: Mapping[int, Tuple[Value, ...]]
    tops: Mapping[int, Tuple[Value, ...]]
    producers: Mapping[Value, Layer]
    consumers: Mapping[Value, Tuple[Layer, ...]]


class Net:
    """The layers that take part, in the order of the text, and the net's own `input` blobs. Frozen.

    inputs: blob name -> shape for the net's `input` fields, and for every blob whose shape the user has given.
    Raises InputError for a bottom that no layer produces (Caffe: net.cpp AppendBottom).
    """

    def __init__(
        self, all_layers: Sequence[Layer], inputs: Mapping[str, Shape], given_shapes: Mapping[str, Shape]
    ) -> None:
        self.layers: Tuple[Layer, ...] = tuple(all_layers)
        self.inputs = dict(inputs)
        self.given_shapes = dict(given_shapes)
        self.wiring = _wire(self.layers, self.inputs)

    def with_layers(self, all_layers: Sequence[Layer]) -> Net:
        """The net with other layers. Raises InternalError if they are not a valid net, as the original ones were."""
        try:
            return Net(all_layers, self.inputs, self.given_shapes)
        except InputError as error:
            raise InternalError(f"the layers are not a valid net any more: {error}") from error

    def bottoms(self, layer: Layer) -> Tuple[Value, ...]:
        return self.wiring.bottoms[layer.index]

    def tops(self, layer: Layer) -> Tuple[Value, ...]:
        return self.wiring.tops[layer.index]

    def producer(self, value: Value) -> Optional[Layer]:
        """The layer that writes the value; None for an `input` of the net."""
        return self.wiring.producers.get(value)

    def consumers(self, value: Value) -> Tuple[Layer, ...]:
        """The layers that read the value, one entry for each bottom; empty for an output of the net."""
        return self.wiring.consumers.get(value, ())

    @cached_property
    def blob_names(self) -> Tuple[str, ...]:
        names = dict.fromkeys(self.inputs)
        for layer in self.layers:
            names.update(dict.fromkeys(layer.tops))
        return tuple(names)

    @cached_property
    def outputs(self) -> Tuple[Value, ...]:
        values = [Value(name, 0) for name in self.inputs]
        values += [value for layer in self.layers for value in self.tops(layer)]
        return tuple(value for value in values if not self.consumers(value))

    @property
    def shapes(self) -> Mapping[Value, Shape]:
        """The shape of every value; None if the files and the user do not define it."""
        return self.sizes.shapes

    @cached_property
    def sizes(self) -> Sizes:
        """The shapes, and what the doubtful ones depend on."""
        return sizes_of(self, {Value(name, 0): shape for name, shape in self.inputs.items()})

    @cached_property
    def memory(self) -> Memory:
        """Which blobs share memory, and where an in-place layer changes a value that is read under another name."""
        return memory_of(self)

    @cached_property
    def sharers(self) -> Mapping[str, Tuple[Tuple[Layer, int], ...]]:
        """Each `param { name }` with the (layer, blob index) pairs that use it (Caffe: net.cpp AppendParam)."""
        users: Dict[str, List[Tuple[Layer, int]]] = {}
        for layer in self.layers:
            for index, spec in enumerate(layer.parameter.param):
                if spec.name:
                    users.setdefault(spec.name, []).append((layer, index))
        return {name: tuple(pairs) for name, pairs in users.items()}

    def shared_with(self, layer: Layer) -> Tuple[Layer, ...]:
        """The other layers of the net that use one of this layer's blobs."""
        names = [spec.name for spec in layer.parameter.param if spec.name]
        others = {other.index: other for name in names for other, _ in self.sharers[name]}
        others.pop(layer.index, None)
        return tuple(others.values())


def _wire(all_layers: Sequence[Layer], inputs: Mapping[str, Shape]) -> Wiring:
    newest: Dict[str, Value] = {name: Value(name, 0) for name in inputs}
    bottoms: Dict[int, Tuple[Value, ...]] = {}
    tops: Dict[int, Tuple[Value, ...]] = {}
    producers: Dict[Value, Layer] = {}
    consumers: Dict[Value, List[Layer]] = {}
    for layer in all_layers:
        for name in layer.bottoms:
            if name not in newest:
                raise InputError(
                    f"layer {layer.name} reads blob {name}, which no layer before it produces",
                    where=layer.where,
                    remedy="check the spelling, the order of the layers, and the phase (--phase, --level, --stage)",
                )
        if not layer.tops and layer.layer_type is not None and not layer.layer_type.topless:
            raise InputError(f"layer {layer.name} ({layer.type}) has no top", where=layer.where, remedy="add a top")
        bottoms[layer.index] = tuple(newest[name] for name in layer.bottoms)
        for value in bottoms[layer.index]:
            consumers.setdefault(value, []).append(layer)
        written = []
        for place, name in enumerate(layer.tops):
            if name in newest and not _is_in_place(layer, place, consumers.get(newest[name], ())):
                raise _second_source(layer, newest[name], producers)
            newest[name] = Value(name, newest[name].version + 1 if name in newest else 0)
            producers[newest[name]] = layer
            written.append(newest[name])
        tops[layer.index] = tuple(written)
    return Wiring(bottoms, tops, producers, {value: tuple(users) for value, users in consumers.items()})


def _is_in_place(layer: Layer, place: int, consumers: Sequence[Layer]) -> bool:
    """Whether a top is its layer's own bottom. With a second consumer Caffe inserts a Split, and it is not any more.

    Caffe: net.cpp AppendTop, after InsertSplits.
    """
    return layer.bottoms[place : place + 1] == layer.tops[place : place + 1] and len(consumers) == 1


def _second_source(layer: Layer, value: Value, producers: Mapping[Value, Layer]) -> InputError:
    first = producers.get(value)
    source = f"layer {first.name} in line {first.line}" if first is not None else "the net's own input"
    return InputError(
        f"layer {layer.name} writes blob {value.blob}, which {source} produces, too: Caffe's \"Top blob produced by "
        'multiple sources"',
        where=layer.where,
        remedy="only the single consumer of a blob can write it again, in place; check the names, and the phase "
        "(--phase, --level, --stage)",
    )
