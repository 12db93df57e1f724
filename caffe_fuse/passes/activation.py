"""Splits a BatchNorm that contains an activation in two, so that the BatchNorm can fold and the activation stays.

Before:
    layer { name: "b" type: "BatchNorm" bottom: "c" top: "b" batch_norm_param { relu: true } }
After:
    layer { name: "b" type: "BatchNorm" bottom: "c" top: "b" batch_norm_param { } }
    layer { name: "b_relu" type: "ReLU" bottom: "b" top: "b" }
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Set

from ..generations import V2
from ..layers.layer_type import Affine
from ..net.graph import Layer
from .chain import affine_of
from .rewrite import Progress


def part_activations(progress: Progress) -> Progress:
    net = progress.net
    layers: List[Layer] = []
    names = {layer.name for layer in net.layers}
    parted: Dict[int, Layer] = {}
    for layer in net.layers:
        # V0 and V1 have no type for a layer that is added here, and one in the V2 form cannot stand among them.
        parts = layer.layer_type.parted if layer.layer_type is not None and layer.generation == V2 else None
        pair = None if parts is None else parts(layer.parameter)
        norm = layer if pair is None else replace(layer, parameter=pair[0])
        if pair is None or not isinstance(affine_of(net, norm, progress.kept), Affine):
            layers.append(layer)
            continue
        parted[layer.index] = layer
        layers += [norm, _activation_after(norm, pair[1], names)]
    return replace(progress, net=net.with_layers(layers), parted=parted) if parted else progress


def join_activations(progress: Progress) -> Progress:
    """Joins the two again where the BatchNorm was not rewritten."""
    rewritten = {layer.index for rewrite in progress.rewrites for layer in rewrite.before}
    whole = {index: layer for index, layer in progress.parted.items() if index not in rewritten}
    if not whole:
        return progress
    layers: List[Layer] = [whole.get(layer.index, layer) for layer in progress.net.layers if layer.follows not in whole]
    return replace(progress, net=progress.net.with_layers(layers))


def _activation_after(norm: Layer, parameter: Any, names: Set[str]) -> Layer:
    """The activation as a new layer after `norm`, in place on its top, with the same include and exclude rules."""
    name = f"{norm.name}_{parameter.type.lower()}"
    while name in names:
        name += "_"
    names.add(name)
    parameter.name = name
    parameter.bottom.append(norm.tops[0])
    parameter.top.append(norm.tops[0])
    parameter.include.extend(norm.parameter.include)
    parameter.exclude.extend(norm.parameter.exclude)
    return Layer.new_after(norm, parameter)
