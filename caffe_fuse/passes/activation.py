"""Parts a BatchNorm from the activation inside it, so that the one can fold and the other stays as a layer.

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
        # The old forms number their types: a layer of ours would have to be written in another form than the net's.
        parts = layer.layer_type.parted if layer.layer_type is not None and layer.generation == V2 else None
        answer = None if parts is None else parts(layer.parameter)
        normed = layer if answer is None else replace(layer, parameter=answer[0])
        if answer is None or not isinstance(affine_of(net, normed, progress.kept), Affine):
            layers.append(layer)
            continue
        parted[layer.index] = layer
        layers += [normed, _behind(normed, answer[1], names)]
    return replace(progress, net=net.with_layers(layers), parted=parted) if parted else progress


def join_activations(progress: Progress) -> Progress:
    """Puts the two together again where the BatchNorm stands as it was."""
    rewritten = {layer.index for rewrite in progress.rewrites for layer in rewrite.before}
    whole = {index: layer for index, layer in progress.parted.items() if index not in rewritten}
    if not whole:
        return progress
    layers: List[Layer] = [whole.get(layer.index, layer) for layer in progress.net.layers if layer.follows not in whole]
    return replace(progress, net=progress.net.with_layers(layers))


def _behind(norm: Layer, parameter: Any, names: Set[str]) -> Layer:
    """The activation as a new layer.follows `norm`, in place on its top and under the same rules."""
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
