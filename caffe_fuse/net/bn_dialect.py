"""Decides which dialect of BatchNorm a net is written in: once, from all its BatchNorm layers.

The evidence is the settings in the text, and the count and sizes of the blobs. Dialects that yield the same scale and
shift for every layer count as one. If several remain, the layers are refused, and `--bn-dialect NAME` settles it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Collection, Dict, List, Literal, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import InputError
from ..layers.batch_norm import DIALECTS, TYPES, Dialect, settings_of, unsettled
from ..layers.batch_norm.settings import uses_stored
from ..layers.layer_type import Affine, LayerType, Refusal
from ..layers.shapes import blob_sizes
from ..schema.messages import copy_of
from ..spelling import did_you_mean
from ..wording import Remedy, counted
from .graph import Layer, Net

SAY_WHOSE = Remedy("name the dialect", ("fuse", "--bn-dialect", "NAME"))
BnDialect = Union[
    Literal["bvlc", "nvidia", "digits", "intel", "cambricon", "synopsys", "happynear", "mnn", "opencv"],
    Literal["segnet", "pspnet", "sensetime"],
]
NAMES = tuple(dict.fromkeys(dialect.name for dialect in DIALECTS))
Readings = Dict[int, LayerType]  # by layer index


class Decided(NamedTuple):
    """The net with the reading of each BatchNorm set, and the warnings about it."""

    net: Net
    warnings: Tuple[str, ...]


def decide(net: Net, name: Optional[str] = None) -> Decided:
    """The net with the dialect of its BatchNorms decided.

    name: the dialect that the user gave, if any, in any case. Raises InputError if it does not fit.
    """
    groups = {type_name: [layer for layer in net.layers if _type_name(layer) == type_name] for type_name in TYPES}
    if name is not None:
        name = name.lower()
        _check_name(name, groups)
    readings: Readings = {}
    warnings: List[str] = []
    for type_name, layers in groups.items():
        stored = [layer for layer in layers if layer.blobs]
        if name is not None and any(dialect.layer == type_name for dialect in _named(name)):
            chosen: Sequence[Dialect] = _asked_for(name, type_name, layers)
        else:
            # To plan without weights, one reading is as good as another.
            chosen = _candidates(type_name, stored) if stored else _candidates(type_name, layers)[:1]
        if len(chosen) == 1:
            readings.update(_read(chosen[0], layers))
            warnings += _remarks(chosen[0], stored)
        else:
            readings.update({layer.index: unsettled(type_name, _open_question(layer, chosen)) for layer in layers})
    if all(layer.reading is readings.get(layer.index) for group in groups.values() for layer in group):
        return Decided(net, tuple(warnings))
    read = [replace(layer, reading=readings.get(layer.index)) if _type_name(layer) else layer for layer in net.layers]
    return Decided(net.with_layers(read), tuple(warnings))


def with_stored_statistics(net: Net, kept: Collection[str]) -> Net:
    """The net with use_global_stats set in its BatchNorm layers, except in those named in `kept`."""
    return net.with_layers([layer if layer.name in kept else _using_stored(layer) for layer in net.layers])


def _using_stored(layer: Layer) -> Layer:
    if _type_name(layer) != "BatchNorm" or uses_stored(layer.parameter):
        return layer
    parameter = copy_of(layer.parameter)
    parameter.batch_norm_param.use_global_stats = True
    return layer.rewritten(parameter, layer.blobs)


def _type_name(layer: Layer) -> str:
    return layer.kind if layer.is_batch_norm else ""


def _named(name: str) -> List[Dialect]:
    return [dialect for dialect in DIALECTS if dialect.name == name]


def _check_name(name: str, groups: Dict[str, List[Layer]]) -> None:
    if name not in NAMES:
        hint = did_you_mean(name, NAMES)
        raise InputError(f"there is no BatchNorm dialect {name}{hint}", remedy=f"choose from {', '.join(NAMES)}")
    if not any(groups[dialect.layer] for dialect in _named(name)):
        first = next((group[0] for group in groups.values() if group), None)
        has = "the net has no BatchNorm" if first is None else f"the net has {first.type} layers"
        raise InputError(
            f"no layer of the net can be of the BatchNorm dialect {name}: {has}", remedy="omit --bn-dialect"
        )


def _asked_for(name: str, type_name: str, layers: Sequence[Layer]) -> List[Dialect]:
    (dialect,) = (dialect for dialect in _named(name) if dialect.layer == type_name)
    for layer in layers:
        if _order(dialect, layer) is None:
            raise InputError(
                f"layer {layer.name} ({layer.type}) cannot be of the BatchNorm dialect {name}: {_signs(layer)}",
                where=layer.where,
                remedy="give --bn-dialect another name, or omit it",
            )
    return [dialect]


def _order(dialect: Dialect, layer: Layer) -> Optional[str]:
    if not layer.blobs:
        return dialect.planned(layer.parameter)
    return dialect.order(layer.parameter, [blob.count for blob in layer.blobs])


def _candidates(type_name: str, layers: Sequence[Layer]) -> List[Dialect]:
    """The dialects that fit all layers; of dialects that agree about every layer only the first."""
    fitting: List[Dialect] = []
    for dialect in DIALECTS:
        if dialect.layer == type_name and not dialect.named_only and all(_order(dialect, layer) for layer in layers):
            if dialect is DIALECTS[0]:
                return [dialect]
            if not any(all(_agree(one, dialect, layer) for layer in layers) for one in fitting):
                fitting.append(dialect)
    return fitting


def _agree(one: Dialect, other: Dialect, layer: Layer) -> bool:
    """Whether the two dialects yield the same scale and shift for the layer, or neither does."""
    first, second = _affine(one, layer), _affine(other, layer)
    if not (isinstance(first, Affine) and isinstance(second, Affine)):
        return type(first) is type(second)
    return np.array_equal(first.scale, second.scale) and np.array_equal(first.shift, second.shift)


def _affine(dialect: Dialect, layer: Layer) -> Union[Affine, Refusal]:
    affine = dialect.layer_type(_order(dialect, layer) or "").affine
    assert affine is not None
    return affine(layer.parameter, [blob.array() for blob in layer.blobs], [None])


def _read(dialect: Dialect, layers: Sequence[Layer]) -> Readings:
    """The layer types, by index, of layers whose dialect is not the default."""
    if dialect is DIALECTS[0]:
        return {}
    orders = {layer.index: _order(dialect, layer) for layer in layers}
    layer_types = {order: dialect.layer_type(order) for order in set(orders.values()) if order is not None}
    return {index: layer_types[order] for index, order in orders.items() if order is not None}


def _open_question(layer: Layer, candidates: Sequence[Dialect]) -> Refusal:
    if not candidates:
        return Refusal(f"no known dialect of BatchNorm fits it and the others of the net: {_signs(layer)}")
    names = ", ".join(f"{dialect.name} ({dialect.origin})" for dialect in candidates)
    return Refusal(f"{_signs(layer)} can be read in {len(candidates)} ways: {names}", SAY_WHOSE)


def _signs(layer: Layer) -> str:
    """The evidence for a dialect, for a message."""
    layer_type = layer.layer_type
    assert layer_type is not None
    fields = ", ".join(field.name for field, _ in settings_of(layer_type.name, layer.parameter).ListFields())
    return blob_sizes([blob.count for blob in layer.blobs]) + (f" with {fields}" if fields else "")


def _remarks(dialect: Dialect, layers: Sequence[Layer]) -> List[str]:
    """Warnings about a reading: that it is not BVLC's, and what in the files contradicts it."""
    if not layers:
        return []
    remarks: List[str] = []
    if dialect is not DIALECTS[0]:
        orders = " or ".join(dict.fromkeys(_order(dialect, layer) or "" for layer in layers))
        remarks.append(
            f"{layers[0].where}: {counted(len(layers), f'{layers[0].type} layer')} read in the dialect {dialect.name} "
            f"({dialect.origin}): blobs {orders}"
        )
    if dialect.name in ("nvidia", "digits"):
        refused = [layer for layer in layers if _says_batch(layer)]
        if refused:
            remarks.append(
                f"{refused[0].where}: use_global_stats is false in {_list(refused)}; in TEST this dialect "
                "uses the stored statistics nevertheless"
            )
    elif "factor" in dialect.orders[0]:
        if all(_is_blank(layer) for layer in layers):
            remarks.append(
                f"{layers[0].where}: all statistics of all BatchNorm layers are 0, and so are their factors, "
                "as before any training: is this the weight file of the net?"
            )
        empty = [layer for layer in layers if _is_unsummed(layer)]
        if empty:
            remarks.append(
                f"{empty[0].where}: the moving average factor of {_list(empty)} is 0, so Caffe takes the statistics, "
                "which are not 0, for 0; if they are statistics of NVIDIA's Caffe, use --bn-dialect nvidia"
            )
    return remarks


def _says_batch(layer: Layer) -> bool:
    settings = layer.parameter.batch_norm_param
    return settings.HasField("use_global_stats") and not settings.use_global_stats


@np.errstate(invalid="ignore")  # a statistic may be a signalling NaN
def _is_unsummed(layer: Layer) -> bool:
    mean, variance, factor = layer.blobs[:3]
    return not factor.array().any() and bool(mean.array().any() or variance.array().any())


@np.errstate(invalid="ignore")
def _is_blank(layer: Layer) -> bool:
    return not any(blob.array().any() for blob in reversed(layer.blobs[:3]))


def _list(layers: Sequence[Layer]) -> str:
    others = len(layers) - 1
    return f"layer {layers[0].name}" + (f" and {others} more" if others else "")
