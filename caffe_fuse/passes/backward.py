"""Carries a chain of affine layers backward, to the layers with weights that can absorb it.

In between may be layers that only move or join values (Concat, Permute, Slice ...), sums, and pooling. Every producer
takes its part or none does; each consumer of a value on the way belongs to the way. FOLD, the next rule, then finds the
parts next to the layers with weights.

Before:
    layer { name: "c1" type: "Convolution" bottom: "x" top: "c1" ... }
    layer { name: "c2" type: "Convolution" bottom: "x" top: "c2" ... }
    layer { name: "cat" type: "Concat" bottom: "c1" bottom: "c2" top: "cat" }
    layer { name: "b" type: "BatchNorm" bottom: "cat" top: "b" }
After (FOLD takes the two parts in):
    layer { name: "c1" type: "Convolution" bottom: "x" top: "c1" ... }
    layer { name: "b" type: "Scale" bottom: "c1" top: "c1_b" ... }
    layer { name: "c2" type: "Convolution" bottom: "x" top: "c2" ... }
    layer { name: "b" type: "Scale" bottom: "c2" top: "c2_b" ... }
    layer { name: "cat" type: "Concat" bottom: "c1_b" bottom: "c2_b" top: "b" }
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

import numpy as np

from ..blobs.blob import ArrayBlob
from ..errors import InputError
from ..layers.carried import UNKNOWN_SIZES, Carried
from ..layers.layer_type import Affine, Refusal
from ..net.graph import Layer, Net, Value
from ..schema import messages as schema
from .chain import affine_of, compose, follow, shared, trimmed
from .fold import fold_affines
from .move_proof import prove_move
from .rewrite import Link, Move, Pass, Progress, Refused


class Part(NamedTuple):
    """What `absorber`, a layer with weights, has to absorb. end: it, or the last layer of a chain after it.

    value: the top of that. earlier: the part of an earlier move that this one replaces.
    """

    absorber: Layer
    end: Layer
    value: Value
    affine: Affine
    earlier: Optional[Layer] = None


class Way(NamedTuple):
    """What a move touches. through: the layers between, in the order of the net; values: those that change."""

    through: Tuple[Layer, ...]
    values: Tuple[Value, ...]
    parts: Tuple[Part, ...]


def carry_backward(progress: Progress) -> Progress:
    """Again until nothing moves: what a move leaves may let the chain after it move as well."""
    refused: Dict[int, Refused] = {}
    while True:
        moves, reasons = _found(progress)
        moves = _absorbable(progress, moves, reasons)
        refused = {**refused, **{each.layer.index: each for each in reasons}}
        if not moves:
            return progress.after((), list(refused.values()))
        progress = _applied(progress, moves)


def _found(progress: Progress) -> Tuple[List[Move], List[Refused]]:
    """Moves that do not touch each other's layers, as far as the net tells; the refused chains with their reasons."""
    net, names = progress.net, set(progress.net.blob_names)
    taken: Set[int] = set()
    moves: List[Move] = []
    refused: List[Refused] = []
    for layer in net.layers:
        if layer.layer_type is None or layer.layer_type.carries is None or layer.index in taken:
            continue
        if isinstance(affine_of(net, layer, progress.kept), Affine):  # a link of a chain itself
            continue
        chains = [trimmed(follow(net, top, None, None, progress.kept)[0]) for top in net.tops(layer)]
        if not any(chains):
            continue
        way = _way(progress, layer, chains)
        if isinstance(way, Refusal):
            refused += [Refused.by("backward", link.layer, way) for chain in chains for link in chain]
            continue
        touched = {each.index for each in (*way.through, *(part.end for part in way.parts))}
        touched |= {link.layer.index for chain in chains for link in chain}
        if touched & taken:
            continue  # in the next round
        move = _move(net, chains, way, names)
        try:
            prove_move(net, move)
        except InputError:
            refused += [Refused.by("backward", each, UNKNOWN_SIZES) for each in move.chain]
        else:
            taken |= touched
            moves.append(move)
    return moves, refused


def _way(progress: Progress, layer: Layer, chains: Sequence[Sequence[Link]]) -> Union[Way, Refusal]:
    """From the layer in front of the chains, one for each top, back to the layers that can absorb them."""
    if not all(chains):
        top = next(top for top, chain in zip(layer.tops, chains) if not chain)
        return Refusal(f"blob {top}, another top of {layer}, has no scale and shift after it")
    affines = [compose(chain) for chain in chains]
    if any(affine.channels > 1 and affine.axis == 0 for affine in affines):
        return Refusal("it works along axis 0, the batch")
    return _through(progress, layer, affines)


def _through(progress: Progress, layer: Layer, affines: Sequence[Affine]) -> Union[Way, Refusal]:
    net, layer_type = progress.net, layer.layer_type
    assert layer_type is not None
    assert layer_type.carries is not None
    refusal = _obstacle(progress, layer)
    if refusal is not None:
        return refusal
    shapes = [[net.shapes[value] for value in values] for values in (net.bottoms(layer), net.tops(layer))]
    found = layer_type.carries(Carried(layer.parameter, affines, *shapes))
    if isinstance(found, Refusal):
        return Refusal(f"{layer}: {found.reason}", found.remedy)
    ways: List[Way] = [Way((layer,), (), ())]
    for value, affine in zip(net.bottoms(layer), found):
        if affine.is_identity:
            continue
        way = _back(progress, value, affine)
        if isinstance(way, Refusal):
            return way
        ways.append(way)
    return Way(
        tuple(sorted((each for way in ways for each in way.through), key=lambda each: each.order)),
        tuple(value for way in ways for value in way.values),
        tuple(part for way in ways for part in way.parts),
    )


def _back(progress: Progress, value: Value, affine: Affine) -> Union[Way, Refusal]:
    """The way from a value that has to become affine(value)."""
    net = progress.net
    consumers, producer = net.consumers(value), net.producer(value)
    if len(consumers) > 1:
        return Refusal(shared(value, consumers))
    if producer is None:
        return Refusal(f"blob {value.blob} is an input of the net")
    if value in net.memory.entangled:
        return Refusal(f"the memory of blob {value.blob} is read under another name")
    own = affine_of(net, producer, progress.kept)
    if isinstance(own, Affine) and own.is_identity and not producer.blobs:
        refusal = _obstacle(progress, producer)
        way = refusal or _back(progress, net.bottoms(producer)[0], affine)
        return way if isinstance(way, Refusal) else Way((*way.through, producer), (*way.values, value), way.parts)
    if isinstance(own, Affine) and producer.origin:
        way = _back(progress, net.bottoms(producer)[0], own.then(affine))
        if isinstance(way, Refusal):
            return way
        return Way((producer,), (), tuple(part._replace(earlier=producer) for part in way.parts))
    absorber = _absorber_of(progress, value)
    if absorber is not None:
        return Way((), (value,), (Part(absorber, producer, value, affine),))
    if producer.layer_type is not None and producer.layer_type.carries is not None:
        if len(producer.tops) > 1:
            return Refusal(f"{producer} has other tops than {value.blob}")
        way = _through(progress, producer, [affine])
        return way if isinstance(way, Refusal) else way._replace(values=(*way.values, value))
    return Refusal(f"blob {value.blob} comes from {producer}, which cannot absorb it")


def _absorber_of(progress: Progress, value: Value) -> Optional[Layer]:
    """The layer with weights whose top this is, or that of the affine layers which make it; None without one."""
    net, producer = progress.net, progress.net.producer(value)
    while producer is not None and isinstance(affine_of(net, producer, progress.kept), Affine):
        value = net.bottoms(producer)[0]
        if len(net.consumers(value)) > 1:
            return None
        producer = net.producer(value)
    if producer is None or producer.layer_type is None or producer.layer_type.absorb is None:
        return None
    return producer


def _obstacle(progress: Progress, layer: Layer) -> Optional[Refusal]:
    """Why the names of a layer's blobs cannot change, or what it does is not certain."""
    if layer.name in progress.kept:
        return Refusal(f"--keep names {layer}")
    if layer.not_understood:
        return Refusal(f"{layer.not_understood} of {layer} is not understood")
    return None


def _move(net: Net, chains: Sequence[Sequence[Link]], way: Way, names: Set[str]) -> Move:
    first = chains[0][0].layer
    renamed: Dict[Value, str] = {}
    for value in way.values:
        name = f"{value.blob}_{first.name}"
        while name in names:
            name += "_"
        renamed[value] = name
    for chain in chains:
        renamed[net.bottoms(chain[0].layer)[0]] = chain[-1].layer.tops[0]
    # A layer in place goes on to be one.
    by_blob: Dict[str, str] = {}
    for value in way.values:
        renamed[value] = by_blob.setdefault(value.blob, renamed[value])
    names.update(renamed.values())
    origin = tuple(link.layer for chain in chains for link in chain)
    parts = tuple(_as_layer(net, part, origin, renamed) for part in way.parts)
    after = tuple(_with_names(net, layer, renamed) for layer in way.through if not layer.origin)
    gone = [value.blob for value in renamed]
    gone += [link.layer.tops[0] for chain in chains for link in chain[:-1]]
    absorbing = tuple(part.absorber for part in way.parts)
    return Move(tuple(map(tuple, chains)), way.through, after, parts, absorbing, tuple(gone))


def _as_layer(net: Net, part: Part, origin: Tuple[Layer, ...], renamed: Dict[Value, str]) -> Layer:
    """The part as a Scale, in float64, next to what absorbs it. The top of an earlier one has a new name already."""
    top = renamed[part.value] if part.earlier is None else part.earlier.tops[0]
    origin = origin if part.earlier is None else (*part.earlier.origin, *origin)
    parameter = schema.new("LayerParameter")
    parameter.name, parameter.type = origin[0].name, "Scale"
    parameter.phase = part.end.parameter.phase
    parameter.bottom.append(part.value.blob)
    parameter.top.append(top)
    shape, affine, channels = net.shapes[part.value], part.affine, part.affine.channels
    if channels == 1 and shape is not None and len(shape) > 1:
        channels = shape[1] or 1
    parameter.scale_param.axis = affine.axis
    parameter.scale_param.bias_term = True
    blobs = tuple(ArrayBlob(np.broadcast_to(values, (channels,))) for values in (affine.scale, affine.shift))
    return replace(Layer.new_after(part.end, parameter), blobs=blobs, origin=origin)


def _with_names(net: Net, layer: Layer, renamed: Dict[Value, str]) -> Layer:
    sides = (net.bottoms(layer), net.tops(layer))
    return layer.rewired(*([renamed.get(value, value.blob) for value in values] for values in sides))


def _absorbable(progress: Progress, moves: List[Move], refused: List[Refused]) -> List[Move]:
    """Those moves whose parts FOLD takes in, all of them."""
    while moves:
        folded = fold_affines(_applied(progress, moves))
        left = {layer.index for layer in folded.net.layers}
        failed = [move for move in moves if any(part.index in left for part in move.parts)]
        if not failed:
            break
        for move in failed:
            part = next(part for part in move.parts if part.index in left)
            reason = folded.refusals[part.index].reason if part.index in folded.refusals else "it is not absorbed"
            refused += [Refused(layer, "backward", reason) for layer in move.chain]
        moves = [move for move in moves if move not in failed]
    return moves


def _applied(progress: Progress, moves: Sequence[Move]) -> Progress:
    changed = {layer.index: layer for move in moves for layer in move.after}
    added = {part.follows: part for move in moves for part in move.parts}
    gone = {layer.index for move in moves for layer in (*move.chain, *move.before)} - set(changed)
    layers: List[Layer] = []
    for layer in progress.net.layers:
        if layer.index not in gone:
            layers.append(changed.get(layer.index, layer))
        if layer.index in added:
            layers.append(added[layer.index])
    return replace(progress, net=progress.net.with_layers(layers), moves=(*progress.moves, *moves))


BACKWARD = Pass("carry backward", carry_backward)
