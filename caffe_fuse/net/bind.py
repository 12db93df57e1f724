"""Binds the blobs of the weight file to the layers of the net, and checks that they fit."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..blobs.blob import ArrayBlob, Blob, CastBlob, Reader
from ..errors import InputError
from ..layers import WITHOUT_BLOBS
from ..layers.layer_type import Dims
from ..layers.shapes import require_possible
from ..weights.records import Absent, LayerRecord, WeightFile
from ..wording import counted, few
from .bn_dialect import Decided, decide
from .fillers import filled
from .graph import Layer, Net

PLANNED = 1 << 24  # elements of the scales, shifts and biases of a plan: a text can ask for any size at no cost


class _Problem(NamedTuple):
    layer: Layer
    what: str


def bind(net: Net, weights: WeightFile, bn_dialect: Optional[str]) -> Decided:
    """The net with its blobs. Raises InputError if a layer's blobs are missing, or of another count or shape."""
    decided = decide(_with_shared(net.with_layers(_bound(net, weights))), bn_dialect)
    needed = _needed(decided.net)
    net, notes = filled(decided.net, needed)
    _check_blobs(net, needed if net is decided.net else _needed(net), weights)
    net = _with_own_axes(net)
    _check_layouts(net)
    return Decided(net, (*notes, *decided.warnings))


def _bound(net: Net, weights: WeightFile) -> List[Layer]:
    """Weights bind by name, to the first layer of that name (Caffe: net.cpp:735-770 CopyTrainedLayersFrom).

    HDF5 weights bind to the last (net.cpp:253 and 790-842).
    """
    records: Dict[str, LayerRecord] = {}
    for record in weights.layers:
        if record.blobs or record.name not in records:
            records[record.name] = record
    bound: List[Layer] = []
    for layer in reversed(net.layers) if weights.binds_last else net.layers:
        record_of_layer = records.pop(layer.name, None)
        own = record_of_layer.blobs if record_of_layer is not None else ()
        bound.append(replace(layer, record=record_of_layer, blobs=own or _embedded_blobs(layer)))
    return bound[::-1] if weights.binds_last else bound


def _embedded_blobs(layer: Layer) -> Tuple[Blob, ...]:
    """Blobs written into the prototxt itself (Caffe: layer.hpp:44-50)."""
    blobs: List[Blob] = []
    for proto in layer.parameter.blobs:
        values = np.array(proto.double_data if len(proto.double_data) else proto.data, dtype=np.float64)
        legacy = any(proto.HasField(name) for name in ("num", "channels", "height", "width"))
        shape = (proto.num, proto.channels, proto.height, proto.width) if legacy else tuple(proto.shape.dim)
        if values.size != int(np.prod(shape, dtype=np.float64)):
            raise InputError(
                f"a blob of layer {layer.name} has shape {shape}, but {values.size} elements", where=layer.where
            )
        blobs.append(ArrayBlob(values.astype(np.float32).reshape(shape)))
    return tuple(blobs)


def _with_shared(net: Net) -> Net:
    """Layers that share a `param` name share the blob that Caffe read last (net.cpp:947-954 ShareWeights).

    If none is in a record, they share that of the owner, the first layer that uses the name.
    """
    changed: Dict[int, Layer] = {layer.index: layer for layer in net.layers}
    # By index: a layer that gets all its blobs from others gets them in order.
    for pairs in sorted(net.sharers.values(), key=lambda pairs: max(place for _, place in pairs)):
        stored = [
            (-rank if layer.record is None else layer.record.index, layer.blobs[place])
            for rank, (layer, place) in enumerate(pairs, 1)
            if place < len(layer.blobs) and not isinstance(layer.blobs[place], Absent)
        ]
        if len(pairs) < 2 or not stored:
            continue
        shared = max(stored, key=lambda pair: pair[0])[1]
        for layer, place in pairs:
            blobs = list(changed[layer.index].blobs)
            if place <= len(blobs):
                blobs[place : place + 1] = [shared]
                changed[layer.index] = replace(changed[layer.index], blobs=tuple(blobs))
    return net.with_layers(list(changed.values()))


class _StandIn(ArrayBlob):
    """One value in the shape of a blob; its only chunk holds it once."""

    def __init__(self, value: np.float32, shape: Tuple[int, ...]) -> None:
        super().__init__(np.broadcast_to(value, shape))

    def array(self) -> np.ndarray:
        return self._flat.reshape(self.shape)

    def _chunks(self, _read: Reader) -> Iterator[np.ndarray]:
        yield self._flat[:1]


def with_placeholders(net: Net, bn_dialect: Optional[str]) -> Net:
    """The net with blobs of the right shape that take no memory: enough to plan a fold without weights.

    Each layer gets its own values: otherwise layers that share weights would seem to get the same scale and shift.
    """
    net = decide(net, bn_dialect).net
    planned: List[Layer] = []
    channels = 0
    for layer in net.layers:
        shapes = [tuple(dim or 1 for dim in shape) for shape in expected_shapes(net, layer) or []]
        channels += sum(
            map(math.prod, shapes[1:] if layer.layer_type is not None and layer.layer_type.absorb else shapes)
        )
        if channels > PLANNED:
            raise InputError(
                f"layer {layer.name} ({layer.type}): with it the scales, shifts and biases of the net have {channels} "
                f"elements, but a plan without a weight file takes {PLANNED} at most",
                where=layer.where,
                remedy="give the weight file",
            )
        values = [np.float32(1 + layer.index + place) for place in range(len(shapes))]
        planned.append(replace(layer, blobs=tuple(map(_StandIn, values, shapes))))
    return _with_shared(net.with_layers(planned))


def expected_shapes(net: Net, layer: Layer) -> Optional[Sequence[Dims]]:
    """The shapes of the blobs that the layer needs; None if they are not known, or dialects disagree."""
    if layer.layer_type is None or layer.layer_type.blobs is None:
        return [] if layer.layer_type is not None and layer.layer_type.name in WITHOUT_BLOBS else None
    bottoms = [net.shapes[value] for value in net.bottoms(layer)]
    if layer.index in net.sizes.doubts and layer.blobs:  # the stored blobs show the sizes that the layer really has
        bottoms = [None] * len(bottoms)
    try:
        shapes = layer.layer_type.blobs(layer.parameter, bottoms)
        for dims in shapes:
            require_possible(dims)
        return shapes
    except InputError as error:
        if layer.doubt is not None and not layer.misspelt:
            return None
        raise InputError(f"layer {layer.name} ({layer.type}): {error.what}", where=layer.where) from error


def _needed(net: Net) -> List[Tuple[Layer, Sequence[Dims]]]:
    """The layers whose needed blobs are known, with the shapes of those."""
    expected = [(layer, expected_shapes(net, layer)) for layer in net.layers]
    return [(layer, shapes) for layer, shapes in expected if shapes is not None]


def _check_blobs(net: Net, needed: Sequence[Tuple[Layer, Sequence[Dims]]], weights: WeightFile) -> None:
    """Raises InputError for blobs that are missing or of another shape: such a net is not the one of these weights."""
    for layer in net.layers:
        for blob in layer.blobs:
            if isinstance(blob, Absent):
                raise blob.error()
    missing = [layer for layer, expected in needed if expected and not layer.blobs]
    problem = _missing(missing, weights) if missing else next(filter(None, (_misfit(*pair) for pair in needed)), None)
    if problem is not None:
        total = sum(bool(expected) for _, expected in needed)
        raise InputError(
            problem.what,
            where=problem.layer.where,
            remedy=f"{total - len(missing)} of {counted(total, 'layer')} with weights matched by name: "
            f"is {weights.path} the weight file of this net?",
        )


def _misfit(layer: Layer, expected: Sequence[Dims]) -> Optional[_Problem]:
    """The problem if the layer's blobs differ from the net's in count or shape."""
    if len(expected) != len(layer.blobs):
        return _Problem(
            layer,
            f"layer {layer.name} ({layer.type}) has {counted(len(expected), 'blob')} in the net and "
            f"{len(layer.blobs)} in the weights",
        )
    for place, (shape, blob) in enumerate(zip(expected, layer.blobs)):
        if not _same_shape(shape, blob.shape):
            wanted = "x".join("?" if dim is None else str(dim) for dim in shape)
            stored = "x".join(map(str, blob.shape))
            return _Problem(
                layer,
                f"blob {place} of layer {layer.name} ({layer.type}) is {wanted} in the net and {stored} in the weights",
            )
    return None


def _same_shape(expected: Dims, stored: Tuple[int, ...]) -> bool:
    """Whether the shapes agree up to axes of size 1: legacy blobs are padded to 4-D (Caffe: blob.cpp:411-429)."""
    expected_dims = [dim for dim in expected if dim != 1]
    stored_dims = [dim for dim in stored if dim != 1]
    if None in expected_dims:
        return len(expected) != len(stored) or all(e in (None, s) for e, s in zip(expected, stored))
    return expected_dims == stored_dims


def exact_shapes(net: Net, layer: Layer) -> List[Tuple[int, ...]]:
    """The shapes of the layer's blobs without the axes of size 1 that only the legacy form allows.

    HDF5 has no legacy form (Caffe: util/hdf5.cpp:69). The shapes of an unknown layer type are kept.
    """
    expected = expected_shapes(net, layer)
    if expected is None or len(expected) != len(layer.blobs):
        return [blob.shape for blob in layer.blobs]
    return [_exact(wanted, blob) for wanted, blob in zip(expected, layer.blobs)]


def _with_own_axes(net: Net) -> Net:
    """The net with legacy filters of convolutions, which have four axes, in the shape that the layer has.

    1x4x4x3 may be a filter 4x4x3 of each input channel, or one input channel with filters 4x3: only the net shows
    which. The matrix of an InnerProduct is always in the last two axes.
    """
    changed: List[Layer] = []
    own: Dict[Blob, Blob] = {}
    for layer in net.layers:
        layer_type, filters = layer.layer_type, layer.blobs[0] if layer.blobs else None
        if layer_type is not None and layer_type.absorb is not None and filters is not None and filters.legacy:
            shape = exact_shapes(net, layer)[0]
            if layer_type.absorb.has_space and shape != filters.shape:
                blob = own.setdefault(filters, CastBlob(filters, filters.dtype, shape))
                layer = replace(layer, blobs=(blob, *layer.blobs[1:]))
        changed.append(layer)
    return net.with_layers(changed) if own else net


def _check_layouts(net: Net) -> None:
    """Raises InputError if sizes that are only known from the weights do not fit the layer."""
    for layer in net.layers:
        if layer.layer_type is not None and layer.layer_type.absorb is not None and layer.blobs:
            try:
                layer.layer_type.absorb.layout(layer.parameter, layer.blobs[0].shape)
            except InputError as error:
                what = f"layer {layer.name} ({layer.type}): {error.what}"
                raise InputError(what, where=layer.where, remedy=error.remedy) from error


def _exact(wanted: Dims, blob: Blob) -> Tuple[int, ...]:
    """The wanted shape, with unknown sizes taken from the blob."""
    if len(wanted) == len(blob.shape):
        return blob.shape
    added = len(blob.shape) - len(wanted)
    known = tuple(dim if dim is not None else size for dim, size in zip(wanted, blob.shape[max(added, 0) :]))
    return known if len(known) == len(wanted) and math.prod(known) == blob.count else blob.shape


def _missing(missing: Sequence[Layer], weights: WeightFile) -> _Problem:
    names = ", ".join(f"{layer.name} ({layer.type})" for layer in missing[:3])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return _Problem(missing[0], f"{weights.path} has no weights for layer {names}{more}")


def strangers(everything: Sequence[Layer], weights: WeightFile) -> List[str]:
    """A warning about layers of the file that the net does not have."""
    names = {layer.name for layer in everything}
    strange = [record.name for record in weights.layers if record.blobs and record.name not in names]
    if not strange:
        return []
    return [
        f"{weights.path}: {counted(len(strange), 'layer')} with weights not in the net ({few(strange)}), "
        "which fuse copies unchanged unless --prune is given"
    ]
