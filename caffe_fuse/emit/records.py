"""The difference of two nets as a plan for the weight file: which records are kept, rewritten, or left out."""

from __future__ import annotations

from typing import AbstractSet, Dict, List, Optional, Sequence, Tuple, Union

from ..blobs.blob import Blob, CastBlob
from ..generations.v0 import PADDING
from ..net.graph import Layer
from ..net.model import Model
from ..schema import messages as schema
from ..weights.records import Kept, LayerRecord, Rewritten, WeightFile

Entry = Union[Kept, Rewritten]

_NAMED = ("name", "type", "bottom", "top", "blobs")
_CONDITIONS = ("phase", "include", "exclude", "propagate_down")


def plan(model: Model, weights: WeightFile, prune: bool) -> List[Entry]:
    """The entries for the records of the file, and for changed layers without one, each after the preceding layer.

    Records of removed layers, and of Splits of removed blobs, are left out. Records of layers that the net does not
    have stay, unless `prune`.
    """
    changed = _changed(model, weights)
    by_record = {now.record.index: (was, now) for was, now in changed if now.record is not None}
    taken = {now.name for _, now in changed}
    left = _left(model)
    names = {layer.name for layer in (*model.net.layers, *model.excluded)}
    gone = {layer.name for layer in (*model.source.layers, *model.dropped)} - names
    vanished = set(model.source.blob_names) - set(model.net.blob_names)
    found: List[Entry] = []
    for record in weights.layers:
        if record.index in by_record:
            found.append(_rewritten(model, *by_record[record.index]))
        elif not (
            record.name in taken  # a second record of a changed layer: Caffe would load it over the first
            or (record.name in left and record.index not in left[record.name])
            or record.name in gone
            or _is_split_of(record, vanished)
            # Without it Caffe stops at the layer that reads it (upgrade_proto.cpp UpgradeV0PaddingLayers).
            or (prune and record.name not in names and record.type != PADDING)
        ):
            found.append(Kept(record))
    added = [now for _, now in changed if now.record is None]
    added += [layer for layer in model.net.layers if layer.follows is not None]
    for layer in added:
        if weights.generation == "V2":
            found.insert(_place_after(found, model, layer), new_record(layer, layer.blobs))
        elif layer.blobs:  # V1 has other fields; Caffe binds weights by name alone (net.cpp:735)
            found.insert(_place_after(found, model, layer), Rewritten(None, layer.name, layer.blobs))
    return found


def _left(model: Model) -> Dict[str, AbstractSet[int]]:
    """Names that layers have no more, each with the records of those that still have it."""
    was = {layer.index: layer.name for layer in model.source.layers}
    names = {was[layer.index] for layer in model.net.layers if was.get(layer.index, layer.name) != layer.name}
    return {
        name: {layer.record.index for layer in model.net.layers if layer.name == name and layer.record is not None}
        for name in names
    }


def new_record(layer: Layer, blobs: Tuple[Blob, ...]) -> Rewritten:
    """A record for a layer that has none, with its parameters, so that the file agrees with the prototxt."""
    parameters = _parameters(layer, _NAMED)
    return Rewritten(None, layer.name, blobs, layer.type, layer.bottoms, layer.tops, parameters=parameters)


def _place_after(entries: Sequence[Entry], model: Model, layer: Layer) -> int:
    """The place after the last entry of a layer that precedes this one in the net."""
    before = {other.name for other in model.net.layers if other.order < layer.order}
    places = [place for place, entry in enumerate(entries) if _name(entry) in before]
    return places[-1] + 1 if places else 0


def _name(entry: Entry) -> str:
    return entry.name if isinstance(entry, Rewritten) else entry.record.name


def _changed(model: Model, weights: WeightFile) -> List[Tuple[Layer, Layer]]:
    """Layers whose record has to change: each before and after."""
    source = {layer.index: layer for layer in model.source.layers}
    pairs = [(source[layer.index], layer) for layer in model.net.layers if layer.follows is None]
    different = [(was, now) for was, now in pairs if now is not was and _differs(was, now)]
    rewritten = {now.index for _, now in different}
    unchanged = {now.record.index for now in model.net.layers if now.record is not None and now.index not in rewritten}
    owners = {blob: record.index for record in weights.layers for blob in record.blobs}
    orphans = [(was, now) for was, now in pairs if now.index not in rewritten and _orphaned(now, owners, unchanged)]
    return different + orphans


def _differs(was: Layer, now: Layer) -> bool:
    """Whether its blobs are others, or only its name and those around it; without a record it does not need these."""
    names = (was.name, was.bottoms, was.tops) != (now.name, now.bottoms, now.tops)
    return now.blobs != was.blobs or (names and now.record is not None)


def _orphaned(layer: Layer, owners: Dict[Blob, int], unchanged: AbstractSet[int]) -> bool:
    """Whether the layer shares blobs whose record changes or is removed, so that its own record must hold them now."""
    own = layer.record.blobs if layer.record is not None else ()
    stored = [blob.base if isinstance(blob, CastBlob) else blob for blob in layer.blobs]
    return any(blob not in own and blob in owners and owners[blob] not in unchanged for blob in stored)


def _rewritten(model: Model, was: Layer, now: Layer) -> Rewritten:
    record = now.record
    assert record is not None
    retyped = now.type != was.type
    return Rewritten(
        record,
        now.name,
        now.blobs,
        type=now.type if retyped and record.type is not None else None,
        bottoms=_bottoms(model, was, now),
        tops=now.tops if record.tops == was.tops else None,
        bias_term=True if len(now.blobs) > len(was.blobs) and not retyped else None,
        parameters=_parameters(now, (*_NAMED, *_CONDITIONS)) if retyped else None,
    )


def _bottoms(model: Model, was: Layer, now: Layer) -> Optional[Tuple[str, ...]]:
    """The layer's new bottoms as the file names them: by a Split's tops, where Caffe inserted a Split."""
    if now.bottoms == was.bottoms:
        return None
    for layer in model.source.layers:
        if layer.bottoms == now.bottoms and layer.record is not None and layer.record.bottoms:
            return layer.record.bottoms
    return now.bottoms


def _parameters(layer: Layer, without: Sequence[str]) -> bytes:
    """The layer's parameters, serialized, without these fields."""
    rest = schema.without_foreign(layer.parameter)
    for field in without:
        rest.ClearField(field)
    return bytes(rest.SerializeToString())


def _is_split_of(record: LayerRecord, vanished: AbstractSet[str]) -> bool:
    return record.type == "Split" and any(bottom in vanished for bottom in record.bottoms)
