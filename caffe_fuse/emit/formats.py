"""The plan of a weight file in the requested format and blob type."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ..blobs.blob import FLOAT16, FLOAT32, Blob, CastBlob, StoredBlob
from ..errors import InputError
from ..net.bind import exact_shapes
from ..net.graph import Layer, Net
from ..net.model import Model
from ..protobuf import wire
from ..protobuf.text import Scalar
from ..protobuf.wire import Source
from ..schema import messages as schema
from ..weights.records import Absent, Kept, Rewritten, WeightFile
from .records import Entry, new_record, plan

_NET_NAME = 1  # of NetParameter


def planned(
    model: Model, weights: WeightFile, *, prune: bool, format: str, blob_type: Optional[str]
) -> Tuple[WeightFile, List[Entry]]:
    """The file that the new one is based on, and the entries of the new one.

    format: the name of the new file's format. blob_type: "float16" stores the layers that `in_half` selects as fp16,
    "float32" whatever is fp16 as float32; None keeps the type of each blob.
    Raises InputError for blobs that the format cannot hold.
    """
    entries = plan(model, weights, prune)
    half = {layer.index for layer in model.net.layers if blob_type == "float16" and in_half(layer)}
    if format == "hdf5":
        _check_duplicates(model, last=True)
        return weights, _as_hdf5(model, entries, half)
    if weights.format == "hdf5":
        _check_duplicates(model, last=False)
        return _bare(model, weights), _as_caffemodel(model, entries, half)
    if blob_type == "float32":
        return weights, [_with_blobs(entry, _readable(_blobs(entry))) for entry in entries]
    return weights, _halved(model, entries, half) if half else entries


def in_half(layer: Layer) -> bool:
    """Whether blob_type="float16" applies to this layer: to layers with weights, as in OpenCV's shrinkCaffeModel.

    The variance of a BatchNorm, for example, would lose too much.
    """
    return layer.layer_type is not None and layer.layer_type.absorb is not None


def stored(net: Net, blob_type: Optional[str]) -> Net:
    """The net with the values that a file has if it was `planned` with this blob type."""
    if blob_type != "float16":
        return net
    return net.with_layers(
        [replace(layer, blobs=_in_half(layer.blobs)) if in_half(layer) else layer for layer in net.layers]
    )


def _halved(model: Model, entries: Sequence[Entry], half: Set[int]) -> List[Entry]:
    found: List[Entry] = []
    bound = _bound(model)
    for entry in entries:
        layer = bound.get(_name(entry))
        if layer is None or layer.index not in half or entry.record is not layer.record:
            found.append(entry)
        else:
            found.append(_with_blobs(entry, _in_half(_blobs(entry))))
    return found


def _with_blobs(entry: Entry, blobs: Tuple[Blob, ...]) -> Entry:
    """The entry with these blobs; the same one if they are its own."""
    if all(new is old for new, old in zip(blobs, _blobs(entry))):
        return entry
    return Rewritten(entry.record, entry.record.name, blobs) if isinstance(entry, Kept) else entry._replace(blobs=blobs)


def _in_half(blobs: Sequence[Blob]) -> Tuple[Blob, ...]:
    """The blobs as fp16; a blob without values, or with fields of another Caffe, stays as it is."""
    return tuple(blob if _is_special(blob) else blob.in_type(FLOAT16) for blob in blobs)


def _is_special(blob: Blob) -> bool:
    return isinstance(blob, StoredBlob) and bool(blob.missing or blob.unknown)


def _as_hdf5(model: Model, entries: Sequence[Entry], half: Set[int]) -> List[Entry]:
    """A group for each layer; shared blobs are written once, in the first layer that has them (net.cpp:892)."""
    net = model.net
    sharing = {(layer.index, place) for pairs in net.sharers.values() for layer, place in pairs[1:]}
    found: List[Entry] = _records_without_layer(model, entries)
    for layer in net.layers:
        blobs = _in_half(layer.blobs) if layer.index in half else layer.blobs
        exact = [
            Absent(layer.where) if (layer.index, place) in sharing else _in_shape(blob, shape)
            for place, (blob, shape) in enumerate(zip(blobs, exact_shapes(net, layer)))
        ]
        found.append(Rewritten(layer.record, layer.name, tuple(exact)))
    for entry in found:
        for index, blob in enumerate(_blobs(entry)):
            if isinstance(blob, StoredBlob) and blob.unknown:
                fields = ", ".join(map(str, blob.unknown))
                raise InputError(
                    f"blob {index} of layer {_name(entry)} has field {fields} of another Caffe, which HDF5 cannot hold",
                    where=model.paths[-1],
                    remedy="use --weights-format caffemodel",
                )
    return found


def _in_shape(blob: Blob, shape: Tuple[int, ...]) -> Blob:
    return blob if blob.shape == shape else CastBlob(blob, blob.dtype, shape)


def _as_caffemodel(model: Model, entries: Sequence[Entry], half: Set[int]) -> List[Entry]:
    """All layers of the net with their parameters (Caffe: net.cpp ToProto), and layers of other phases with weights."""
    others = {_name(entry): entry for entry in _records_without_layer(model, entries) if _blobs(entry)}
    found: List[Entry] = _inputs(model)
    taking_part = {layer.index for layer in model.net.layers}
    for layer in sorted((*model.net.layers, *model.excluded), key=lambda layer: layer.order):
        if layer.index in taking_part:
            blobs = _in_half(layer.blobs) if layer.index in half else _readable(layer.blobs)
            found.append(new_record(layer, blobs))
        elif layer.name in others:
            found.append(new_record(layer, _readable(_blobs(others.pop(layer.name)))))
    return found + [Rewritten(None, name, _readable(_blobs(entry))) for name, entry in others.items()]


def _readable(blobs: Sequence[Blob]) -> Tuple[Blob, ...]:
    """The blobs with fp16 converted to float32: every Caffe reads fp16 from HDF5, but few from a caffemodel."""
    return tuple(blob.in_type(FLOAT32) if blob.dtype == FLOAT16 else blob for blob in blobs)


def _inputs(model: Model) -> List[Entry]:
    """The net's `input` fields as the Input layer that Caffe makes of them (upgrade_proto.cpp:968)."""
    shapes = {name: shape for name, shape in model.net.inputs.items() if shape is not None and None not in shape}
    if not shapes:
        return []
    layer = schema.new("LayerParameter")
    for shape in shapes.values():
        layer.input_param.shape.add().dim.extend(shape)
    parameters = bytes(layer.SerializeToString())
    return [Rewritten(None, "input", (), "Input", (), tuple(shapes), parameters=parameters)]


def _bare(model: Model, weights: WeightFile) -> WeightFile:
    """A caffemodel that contains only the net's name."""
    found = [value.string() for value in model.document.root.all("name") if isinstance(value, Scalar)]
    content = b"".join(wire.delimited(_NET_NAME, name) for name in found[-1:])
    return WeightFile(weights.path, "caffemodel", Source(content, weights.path), "V2", ())


def _records_without_layer(model: Model, entries: Sequence[Entry]) -> List[Entry]:
    """The entries of records that belong to no layer of the net."""
    bound = _bound(model)
    return [entry for entry in entries if _name(entry) not in bound]


def _bound(model: Model) -> Dict[str, Layer]:
    """The layers of the net by name; of several with one name, the one bound to the record."""
    layers = sorted(model.net.layers, key=lambda layer: layer.record is not None)
    return {layer.name: layer for layer in layers}


def _name(entry: Entry) -> str:
    return entry.name if isinstance(entry, Rewritten) else entry.record.name


def _blobs(entry: Entry) -> Tuple[Blob, ...]:
    return entry.blobs if isinstance(entry, Rewritten) else entry.record.blobs


def _check_duplicates(model: Model, last: bool) -> None:
    """Raises InputError where layers with one name would get other weights in this format.

    A caffemodel gives the weights to the first layer of a name, HDF5 to the last (net.cpp:253).
    """
    by_name: Dict[str, List[Layer]] = {}
    for layer in model.net.layers:
        by_name.setdefault(layer.name, []).append(layer)
    for name, layers in by_name.items():
        without = layers[:-1] if last else layers[1:]
        if any(layer.blobs for layer in without):
            raise InputError(
                f"{len(layers)} layers are named {name}, and this format would give the weights to the "
                f"{'last' if last else 'first'} of them",
                where=layers[-1].where,
                remedy="give each its own name, or keep the format of the weights",
            )
